"""Writes `requirements/*.lock` anew: `python -m scripts.lock`. Keeps what still fits; `--upgrade` takes the newest.

uv resolves once for every platform and Python (`--universal`) and names no index in what it writes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"

_COMMON = ["--universal", "--generate-hashes", "--python-version", "3.11", "--no-emit-index-url"]
_COMMON += ["--no-emit-find-links", "--custom-compile-command", "make lock", "--quiet"]

#: The runtime first: the others are bound to its versions, so that tests run what is served.
_LOCKS = {
    "runtime": ("../pyproject.toml",),
    "build": ("--group", "../pyproject.toml:build", "--constraint", "runtime.lock"),
    "dev": ("../pyproject.toml", "--group", "../pyproject.toml:dev", "--constraint", "runtime.lock"),
    "tools": ("--group", "../pyproject.toml:tools"),
    "benchmarks": ("benchmarks.in", "--constraint", "dev.lock"),
    "training": ("training.in", "--constraint", "runtime.lock"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    with _uv() as uv:
        for name, inputs in _LOCKS.items():
            command = [str(uv), "pip", "compile", *inputs, *_COMMON, *upgrade, "--output-file", f"{name}.lock"]
            subprocess.run(command, cwd=REQUIREMENTS, check=True)  # noqa: S603
    return 0


@contextmanager
def _uv() -> Iterator[Path]:
    """uv from PATH, or the locked one in an environment of its own."""
    found = shutil.which("uv")
    if found is not None:
        yield Path(found)
        return
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, symlinks=True, with_pip=True)
        pip = [str(Path(directory) / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([*pip, "--requirement", str(REQUIREMENTS / "tools.lock")], check=True, env=environment)  # noqa: S603
        yield Path(directory) / "bin" / "uv"


if __name__ == "__main__":
    sys.exit(main())
