"""Collects every locked package in `wheelhouse/`, hash-checked, for machines that reach no package index."""

import os
import sys
import tempfile
from pathlib import Path

from scripts.environment import PYTHON, REQUIREMENTS, ROOT
from scripts.locks import read_lock
from scripts.progress import CommandFailed, run_logged
from scripts.wheels import SOURCE_BUILT

WHEELHOUSE = ROOT / "wheelhouse"


def main() -> int:
    packages = {
        (p.name, p.text): p for name in ("build", "runtime", "dev") for p in read_lock(REQUIREMENTS / f"{name}.lock")
    }
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write("".join(f"{package.text}\n" for package in packages.values()))
        requirements.flush()
        # Build isolation would fetch unchecked build requirements only to read the metadata of what stays a source.
        command: list[str | Path] = [
            PYTHON,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--require-hashes",
            "--no-build-isolation",
        ]
        command += ["--only-binary", ":all:", "--no-binary", ",".join(SOURCE_BUILT)]
        command += ["--dest", WHEELHOUSE, "--requirement", requirements.name]
        try:
            run_logged("Collecting packages in wheelhouse/", command, ROOT / "var/setup/wheelhouse.log", os.environ)
        except CommandFailed as failure:
            sys.stderr.write(f"{failure}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
