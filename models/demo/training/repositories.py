"""Photographs that lie in public repositories: which, under what licence, and how they are fetched.

`repositories.yaml` lists them one by one: somebody looked at each, and at what its repository says of its licence.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from tqdm import tqdm

_LIST = Path(__file__).with_name("repositories.yaml")
_FETCHED = ".fetched"


@dataclass(frozen=True, slots=True)
class Repository:
    """`files` lie below `folder` at `commit`; `motif` is one of `folder`, `stem` and `name` (see `motif_of`)."""

    name: str
    commit: str
    licence: str
    motif: str
    folder: str
    files: tuple[str, ...]

    def place(self, folder: Path) -> Path:
        return folder / self.name.replace("/", "+")

    def motif_of(self, file: str) -> str:
        """What all pictures of one motif share, so that they lie on one side of the split."""
        path = PurePosixPath(file)
        if self.motif == "folder":
            return f"{self.name}/{path.parent}"
        stem = path.with_suffix("").as_posix()
        return f"{self.name}/{stem.rstrip('-_0123456789') if self.motif == 'stem' else stem}"


def repositories() -> list[Repository]:
    listed = yaml.safe_load(_LIST.read_text(encoding="utf-8"))
    return [Repository(name, **{**entry, "files": tuple(entry["files"])}) for name, entry in listed.items()]


def fetch(folder: Path) -> None:
    """Bring the listed files, and nothing else of their repositories, with git. Goes on where it was stopped.

    Raises subprocess.CalledProcessError where a repository no longer has its commit, or cannot be reached."""
    missing = [r for r in repositories() if not (r.place(folder) / _FETCHED).exists()]
    for repository in tqdm(missing, desc="photographs in repositories", unit="repository", disable=not missing):
        place = repository.place(folder)
        place.mkdir(parents=True, exist_ok=True)
        url = f"https://github.com/{repository.name}"
        _git(place, "init", "--quiet")
        _git(place, "config", "remote.origin.url", url)
        _git(place, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", repository.commit)
        paths = [f"{repository.folder}/{file}" for file in repository.files]
        _git(place, "checkout", "--quiet", repository.commit, "--", *paths)
        (place / _FETCHED).touch()


def _git(place: Path, *arguments: str) -> None:
    # Never asks for a password: a repository that is gone looks like a private one.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["git", *arguments], cwd=place, check=True, env=environment)  # noqa: S603, S607


def pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """(motif, path) of every listed picture that was fetched."""
    for repository in repositories():
        base = repository.place(folder) / repository.folder
        for file in repository.files:
            if (base / file).exists():
                yield repository.motif_of(file), base / file
