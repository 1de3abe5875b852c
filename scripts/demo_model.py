"""Trains the demonstration model anew: `python -m scripts.demo_model`, or `make demo-model`.

Makes an environment with PyTorch in build/training (a download of some gigabytes), fetches the photographs and the
clip art, trains (resumes where it was stopped), exports and evaluates. On each of two cores, an hour where they have
bfloat16 (AVX-512, AMX) and three hours where they have not, as far as parts of it tell.
Nothing that ships changes unless --install is given.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from scripts.progress import CommandFailed, run_logged

ROOT = Path(__file__).resolve().parent.parent
_DEMO = ROOT / "models" / "demo"
_LOCK = ROOT / "requirements" / "training.lock"
_BUILD = ROOT / "build" / "training"
_RUN = _DEMO / "training" / "build" / "run"
_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


def main() -> int:
    arguments = _parser().parse_args()
    try:
        _check_machine()
        python = arguments.python or _environment()
        _train(python, arguments)
    except CommandFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nportcullis: training interrupted; run it again to go on\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.demo_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, help="an interpreter that has what requirements/training.in lists")
    parser.add_argument("--anew", action="store_true", help="forget an unfinished run instead of going on with it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cuda", action="store_true", help="one process on a GPU, with larger towers")
    parser.add_argument("--renders", type=int, default=4000, help="pictures to evaluate on (default %(default)s)")
    parser.add_argument("--install", action="store_true", help="put the new pair where it ships, with its digests")
    return parser


def _check_machine() -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise CommandFailed(f"portcullis: training needs a Debian machine; not found: {', '.join(missing)}")
    if not _FONT.exists():
        raise CommandFailed("portcullis: the pictograms are missing; run: apt-get install fonts-noto-color-emoji")


def _environment() -> Path:
    """The interpreter of build/training, made or brought up to the lock where it is not."""
    python, stamp = _BUILD / "bin" / "python", _BUILD / "portcullis.json"
    wanted = json.dumps(hashlib.sha256(_LOCK.read_bytes()).hexdigest())
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(_BUILD, symlinks=True, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--require-hashes", "--requirement", str(_LOCK)]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    run_logged("Installing PyTorch and what else training needs", command, _BUILD / "install.log", environment)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _train(python: Path, arguments: argparse.Namespace) -> None:
    if arguments.anew:
        shutil.rmtree(_RUN, ignore_errors=True)
    options = ["--seed", str(arguments.seed), "--resume"]
    if arguments.cuda:
        options += ["--device", "cuda", "--processes", "1", "--batch", "256", "--large"]
    # A bound on what oneDNN remembers of each shape of a product: gigabytes otherwise.
    environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "200"}
    _run([str(python), "-m", "training", "fetch"], environment)
    _run([str(python), "-m", "training", "train", *options], environment)
    _run([str(python), "-m", "training", "export"], environment)
    if arguments.install:
        _run([sys.executable, "-m", "training", "install"], environment)
    table = _RUN / "evaluation.md"
    service = {**environment, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "training", "evaluate", "--pair", str(_RUN), "--renders", str(arguments.renders)]
    _run([*command, "--out", str(table)], service)
    sys.stdout.write(f"The pair is in {_RUN.relative_to(ROOT)}, its figures in {table.relative_to(ROOT)}.\n")


def _run(command: list[str], environment: dict[str, str]) -> None:
    """In sight: the commands have progress bars of their own."""
    done = subprocess.run(command, cwd=_DEMO, env=environment, check=False)  # noqa: S603 - our own commands
    if done.returncode != 0:
        raise CommandFailed(f"portcullis: {' '.join(command[1:4])} failed with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
