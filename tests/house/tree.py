"""The files of the project, for the tests that read them."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_NOT_OURS = {".git", ".venv", "var", "wheelhouse", "config", "build", "dist"}


def project_files() -> list[Path]:
    """What git tracks; in a tree without git (an unpacked archive), everything that is not made here."""
    try:
        listed = subprocess.run(
            # A checkout owned by another user (containers, CI) is still ours to read.
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return sorted(_walk())
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _walk() -> list[Path]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in _NOT_OURS and not name.endswith((".egg-info", "cache", "_cache__")) and name != ".hypothesis"
        ]
        found += [Path(folder) / name for name in files if not name.endswith(".pyc")]
    return found


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]
