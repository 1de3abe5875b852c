"""The header of a list file: what its terms are about and where they are looked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import DEFAULT_VIEWS, VIEWS, Severity, TextSource
from app.policy.list_text import Line, Problems

DEFAULT_SOURCES = frozenset({TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.CAPTION})

EXAMPLE = "begin the file with ---, then category, severity and languages as `key: value` lines, then ---"

_CATEGORY = re.compile(r"[a-z][a-z0-9_]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_HEADER_LINE = re.compile(r"\s*(?P<key>[A-Za-z_-]+)\s*:(?P<value>.*)")
_WEIGHT = re.compile(r"0(\.\d{1,3})?|1(\.0{1,3})?")
_MAX_LINE_CHARACTERS = 1_000
_REQUIRED = ("category", "severity", "languages")
_KEYS = (*_REQUIRED, "sources", "binding", "views")


@dataclass(frozen=True, slots=True)
class Header:
    category: str
    severity: Severity
    languages: tuple[str, ...]
    sources: frozenset[TextSource]
    binding: bool
    views: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value of the header, without white space around it, and the column where it begins."""

    value: str
    line: Line
    column: int


def read_header(opening: Line, lines: Sequence[Line], problems: Problems) -> Header:
    """The header in `lines`, which `opening` (---) begins. A value that is wrong or missing is a problem, and stands in
    for itself with the least it could say."""
    entries = _entries(lines, problems)
    for key in _REQUIRED:
        if key not in entries:
            problems.add(opening.number, 1, f"the header lacks `{key}`", hint=f"add a line `{key}: …`")
    return Header(
        category=_category(entries, problems),
        severity=_severity(entries, problems),
        languages=_languages(entries, problems),
        sources=_sources(entries, problems),
        binding=_binding(entries, problems),
        views=_views(entries, problems),
    )


def _entries(lines: Sequence[Line], problems: Problems) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for line in lines:
        if len(line.text) > _MAX_LINE_CHARACTERS:
            problems.add(line.number, 1, f"a header line of {len(line.text)} characters", hint=EXAMPLE)
            continue
        matched = _HEADER_LINE.fullmatch(line.text)
        if matched is None:
            problems.add(line.number, 1, "not a `key: value` line", hint=EXAMPLE, source_line=line.text)
            continue
        key, raw = matched["key"], matched["value"]
        at = matched.start("key") + 1
        if key not in _KEYS:
            problems.add(
                line.number, at, f"unknown key `{key}`", hint=f"known: {', '.join(_KEYS)}", source_line=line.text
            )
        elif key in entries:
            first = entries[key].line.number
            problems.add(
                line.number, at, f"`{key}` is given twice", hint=f"first in line {first}", source_line=line.text
            )
        else:
            entries[key] = _Entry(raw.strip(), line, matched.start("value") + len(raw) - len(raw.lstrip()) + 1)
    return entries


def _wrong(entry: _Entry, problems: Problems, message: str, hint: str) -> None:
    problems.add(entry.line.number, entry.column, message, hint=hint, source_line=entry.line.text)


def _category(entries: dict[str, _Entry], problems: Problems) -> str:
    entry = entries.get("category")
    if entry is None:
        return ""
    if not _CATEGORY.fullmatch(entry.value):
        _wrong(
            entry,
            problems,
            f"“{entry.value}” is not a category id",
            "one of the `categories` of the policy, as `scams`",
        )
    return entry.value


def _severity(entries: dict[str, _Entry], problems: Problems) -> Severity:
    entry = entries.get("severity")
    if entry is None:
        return Severity.LOW
    names = {severity.name.lower(): severity for severity in Severity}
    if entry.value not in names:
        _wrong(entry, problems, f"unknown severity “{entry.value}”", f"one of {', '.join(names)}")
    return names.get(entry.value, Severity.LOW)


def _languages(entries: dict[str, _Entry], problems: Problems) -> tuple[str, ...]:
    entry = entries.get("languages")
    if entry is None:
        return ()
    values = _items(entry, problems)
    for value in values:
        if not _LANGUAGE.fullmatch(value):
            _wrong(entry, problems, f"“{value}” is not a language", "codes such as `en, zh`")
    return tuple(values)


def _sources(entries: dict[str, _Entry], problems: Problems) -> frozenset[TextSource]:
    entry = entries.get("sources")
    if entry is None:
        return DEFAULT_SOURCES
    known = {source.value: source for source in TextSource}
    values = _items(entry, problems)
    for value in values:
        if value not in known:
            _wrong(entry, problems, f"unknown source “{value}”", f"some of {', '.join(known)}")
    return frozenset(known[value] for value in values if value in known)


def _items(entry: _Entry, problems: Problems) -> list[str]:
    """The parts of a value that commas separate, each once."""
    values = [value.strip() for value in entry.value.split(",")]
    if "" in values:
        _wrong(entry, problems, "an empty value", "values are separated by single commas")
    for value in sorted({value for value in values if value and values.count(value) > 1}):
        _wrong(entry, problems, f"“{value}” is given twice", "name it once")
    return [value for value in dict.fromkeys(values) if value]


def _binding(entries: dict[str, _Entry], problems: Problems) -> bool:
    entry = entries.get("binding")
    if entry is None:
        return False
    if entry.value not in {"true", "false"}:
        _wrong(entry, problems, f"“{entry.value}” is neither true nor false", "write `binding: true` or leave it out")
    return entry.value == "true"


def _views(entries: dict[str, _Entry], problems: Problems) -> tuple[tuple[str, float], ...]:
    """Each view that is on, with its weight. `default` stands for the usual ones, and a weight of 0 switches one
    off; the fold view is always on."""
    entry = entries.get("views")
    if entry is None:
        return DEFAULT_VIEWS
    weights = {"fold": 1.0}
    seen: set[str] = set()
    for item in _items(entry, problems):
        view, has_weight, written = (part.strip() for part in item.partition("="))
        if view == "default" and not has_weight:
            weights = dict(DEFAULT_VIEWS) | weights
            continue
        if view not in VIEWS:
            _wrong(entry, problems, f"unknown view “{view}”", f"some of default, {', '.join(VIEWS)}")
        elif view in seen:
            _wrong(entry, problems, f"“{view}” is given twice", "name it once")
        elif has_weight and (view == "fold" or not _WEIGHT.fullmatch(written)):
            hint = "a number from 0 (off) to 1, such as `pinyin=0.4`; `fold` is always on"
            _wrong(entry, problems, f"“{written}” is no weight for `{view}`", hint)
        else:
            weights[view] = float(written) if has_weight else VIEWS[view]
        seen.add(view)
    return tuple((view, weights[view]) for view in VIEWS if weights.get(view, 0.0) > 0)
