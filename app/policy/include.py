"""A policy that is split into files: read, put together, and every mistake told in the file where it stands.

What is included is named by its path below the policy's folder, whoever includes it. The files come from that folder,
or from the text itself (`app.policy.bundle`): what the database keeps needs no folder.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from app.errors import PolicyProblem
from app.policy.bundle import Bundle, has_mark, join_bundle, split_bundle
from app.policy.merge import Fragment, merge
from app.policy.regular import read_regular
from app.policy.source import Path, Source
from app.policy.yaml_text import MAX_BYTES, read_yaml

MAX_FILES = 64
MAX_INCLUDE_DEPTH = 8
_SHOWN_CHARACTERS = 80

_NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.ya?ml")
_MENTIONED = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_./-]*\.ya?ml")

#: The bytes of an included file. Raises OSError.
Reader = Callable[[str], bytes]


class OutsideError(OSError):
    """A link leads out of the policy's folder."""

    def __init__(self) -> None:
        super().__init__("it leads out of the policy's folder")


class _NotBroughtError(OSError):
    """The text has to bring its files along, and does not."""


def read_included(folder: FilePath, name: str) -> bytes:
    """A file below the folder, or a link to one that is. Raises OSError."""
    real = FilePath(os.path.realpath(folder / name, strict=True))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise OutsideError
    return read_regular(real, MAX_BYTES + 1)


def mentioned(data: bytes) -> list[str]:
    """What a file may include, without reading it as YAML: all of it, and perhaps more."""
    if b"include" not in data:
        return []
    return sorted({name for found in _MENTIONED.findall(data) if _NAME.fullmatch(name := found.decode())})


@dataclass(frozen=True, slots=True)
class Document:
    """The parts of a policy put together. `value` is None where the policy itself cannot be read; `text` is all there
    is to keep of it."""

    value: Any
    source: Source
    text: str
    problems: list[PolicyProblem]


def read_document(data: bytes, file: str, read: Reader | None = None) -> Document:
    """`read` gives what the text does not bring along; without it, the text has to bring everything."""
    try:
        bundle = split_bundle(data.decode("utf-8-sig")) if len(data) <= MAX_BYTES else Bundle("", {})
    except UnicodeDecodeError:
        bundle = Bundle("", {})
    value, source, problems = read_yaml(bundle.main.encode() if bundle.marks else data, file)
    if not isinstance(value, dict):
        return Document(value, source, source.text, problems)
    reading = _Reading(file, bundle, read, problems)
    reading.follow(Fragment(file, value, source), ())
    problems += _loose(bundle, reading.texts, Source(file, data.decode("utf-8-sig")))
    merged, source = merge(Fragment(file, value, source), reading.fragments, problems)
    text = join_bundle(bundle.main, reading.texts)
    return Document(None if reading.incomplete else merged, source, text, problems)


def _loose(bundle: Bundle, used: Mapping[str, str], whole: Source) -> Iterator[PolicyProblem]:
    """Parts of the text that are nobody's."""
    seen: set[str] = set()
    for at, name in bundle.marks:
        if name in seen:
            yield whole.problem_at(at, f"`{name}` is in this text twice")
        elif name not in used:
            yield whole.problem_at(at, f"nothing includes `{name}`", hint="`include` names the files")
        seen.add(name)


@dataclass(slots=True)
class _Reading:
    file: str
    bundle: Bundle
    read: Reader | None
    problems: list[PolicyProblem]
    texts: dict[str, str] = field(default_factory=dict)
    fragments: list[Fragment] = field(default_factory=list)
    #: Where each file was included first.
    places: dict[str, str] = field(default_factory=dict)
    #: What an unread file would have defined is not told as missing wherever it is named.
    incomplete: bool = False

    def follow(self, fragment: Fragment, above: tuple[str, ...]) -> None:
        """Reads what the fragment includes, and what that includes; `above` are the files that led here."""
        names = fragment.value.get("include", [])
        if not isinstance(names, list):
            self.problems.append(fragment.source.problem(("include",), "must be a list of file names"))
            self.incomplete = True
            return
        for at, name in enumerate(names):
            path: Path = ("include", at)
            if why := self._cannot(name, (*above, fragment.file)):
                self.problems.append(fragment.source.problem(path, why[0], hint=why[1]))
                self.incomplete |= not isinstance(name, str) or name not in self.places
                continue
            self.places[name] = fragment.source.where(path)
            found = self._fragment(name, fragment.source, path)
            if found is None:
                self.incomplete = True
                continue
            self.fragments.append(found)
            self.follow(found, (*above, fragment.file))

    def _cannot(self, name: Any, above: tuple[str, ...]) -> tuple[str, str | None] | None:
        """Why this file is not included, with a hint."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            hint = "a path below the policy's folder, of letters, digits and `_.-`, such as `rules/goods.yaml`"
            return f"`{str(name)[:_SHOWN_CHARACTERS]}` does not name a file to include", hint
        if name in above:
            return f"`{name}` would include itself: {' → '.join((*above[above.index(name) :], name))}", None
        if name in self.places:
            return f"`{name}` is included already", f"first in {self.places[name]}"
        if len(above) > MAX_INCLUDE_DEPTH:
            return f"files include each other at most {MAX_INCLUDE_DEPTH} deep", None
        if len(self.places) >= MAX_FILES:
            return f"a policy includes at most {MAX_FILES} files", None
        return None

    def _fragment(self, name: str, source: Source, path: Path) -> Fragment | None:
        try:
            text = self._text(name)
        except (OSError, UnicodeDecodeError) as error:
            said, hint = _unread(error)
            self.problems.append(source.problem(path, f"`{name}` {said}", hint=hint))
            return None
        self.texts[name] = text
        if len(join_bundle(self.bundle.main, self.texts).encode()) > MAX_BYTES:
            message = f"with `{name}` the policy is larger than {MAX_BYTES // 1024} KiB"
            self.problems.append(source.problem(path, message))
            return None
        if (mark := has_mark(text)) is not None:
            self.problems.append(Source(name, text).problem_at(mark, "`--- # file:` begins another file"))
            return None
        value, inner, problems = read_yaml(text.encode(), name)
        self.problems += problems
        if value is None or isinstance(value, dict):
            return None if value is None else Fragment(name, value, inner)
        self.problems.append(inner.problem((), "what is included is a mapping of `key: value` lines"))
        return None

    def _text(self, name: str) -> str:
        if name in self.bundle.parts:
            return self.bundle.parts[name]
        if self.read is None:
            raise _NotBroughtError
        return self.read(name).decode("utf-8-sig")


def _unread(error: OSError | UnicodeDecodeError) -> tuple[str, str | None]:
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8", None
    if isinstance(error, _NotBroughtError):
        return "is not part of this text", "append it below a line `--- # file: <name>`, as `GET /v1/policy` gives it"
    return f"cannot be read: {error.strerror or error}", None
