"""Reads the locks in `requirements/`: pip's requirements format with hashes, as uv writes it."""

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Locked:
    """One requirement. `text` is what pip reads: pin, marker and hashes, without comments."""

    name: str
    version: str
    hashes: tuple[str, ...]
    text: str


def normalised(name: str) -> str:
    """The name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(text: str) -> list[Locked]:
    """Raises ValueError on a line that pins nothing: an address, an option, an unpinned name."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    requirements = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [_parse_requirement(line) for line in requirements]


def _parse_requirement(line: str) -> Locked:
    match = _NAME.match(line)
    if match is None:
        raise ValueError(f"not a pinned requirement: {line[:80]!r}")
    return Locked(normalised(match[1]), match[2], tuple(_HASH.findall(line)), " ".join(line.split()))


def read_lock(path: Path) -> list[Locked]:
    return parse_lock(path.read_text(encoding="utf-8"))
