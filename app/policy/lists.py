"""Keyword lists: the files of `rules/`, checked so that no term is silently one that can never match.

    ---
    category: contraband
    severity: high
    languages: en, zh
    ---
    # comments and blank lines are ignored
    fake passport
    假护照

`docs/keywords.md` describes the format. Which categories exist is the policy's to say and is not checked here.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from app.domain import KeywordList, TermKind, TermOptions
from app.errors import PolicyInvalid, PolicyProblem
from app.policy.breath import breathe
from app.policy.fields import id_problem
from app.policy.list_header import EXAMPLE, read_header
from app.policy.list_lines import MAX_PATTERNS, Entry, read_line
from app.policy.list_terms import Complaint, same_term
from app.policy.list_text import SHOWN_CHARACTERS, Line, Problems, decode
from app.policy.regular import read_regular

MAX_LIST_BYTES = 16 * 1024 * 1024
MAX_TERMS = 200_000

_MAX_NAME_CHARACTERS = 64


def parse_list(name: str, data: bytes, *, file: str | None = None) -> KeywordList:
    """The list called `name`; `file` is what problems call the file. Raises PolicyInvalid with every problem."""
    problems = Problems(file or f"{name}.txt")
    if id_problem(name) or len(name) > _MAX_NAME_CHARACTERS:
        problems.add(
            1,
            1,
            f"“{name[:SHOWN_CHARACTERS]}” cannot name a list",
            hint="a list is called by its file name: small letters, digits and _, beginning with a letter, and none of "
            "the words that conditions use, such as `in`",
        )
    if len(data) > MAX_LIST_BYTES:
        problems.add(1, 1, f"the file has {len(data)} bytes; at most {MAX_LIST_BYTES} are read")
        problems.raise_if_any()
    lines = decode(data, problems)
    head, body = _split(lines, problems)
    header = read_header(head[0], head[1:], problems)
    entries = _body(body, problems, end_of_file=lines[-1].number if lines else 1)
    keywords = KeywordList(
        name=name,
        category=header.category,
        severity=header.severity,
        languages=header.languages,
        sources=header.sources,
        binding=header.binding,
        terms=tuple(entries.terms),
        digest=_digest(data),
        options=tuple(entries.options),
        allow=tuple(entries.allow),
        views=header.views,
    )
    problems.raise_if_any()
    return keywords


def load_lists(
    rules_dir: Path, *, read_before: Iterable[KeywordList] = ()
) -> tuple[tuple[KeywordList, ...], tuple[PolicyProblem, ...]]:
    """Every `*.txt` of the directory, by name, and what is wrong with the others. Files whose name begins with a dot
    are editors' and are left alone. A file that holds what it held when it was `read_before`, by this process, is not
    parsed again."""
    known = {(one.name, one.digest): one for one in read_before}
    try:
        paths = sorted(path for path in rules_dir.iterdir() if path.suffix.lower() == ".txt" and path.name[0] != ".")
    except OSError as error:
        return (), (_unreadable(rules_dir.name, error, hint="PORTCULLIS_RULES_DIR names the directory of the lists"),)
    lists: list[KeywordList] = []
    problems: list[PolicyProblem] = []
    for path in paths:
        file = f"{rules_dir.name}/{path.name}".encode("utf-8", "replace").decode()
        name = path.name.removesuffix(".txt")
        try:
            data = read_regular(path, MAX_LIST_BYTES + 1)
            lists.append(known.get((name, _digest(data))) or parse_list(name, data, file=file))
        except PolicyInvalid as invalid:
            problems += invalid.problems
        except OSError as error:
            problems.append(_unreadable(file, error))
    return tuple(lists), tuple(problems)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unreadable(file: str, error: OSError, *, hint: str | None = None) -> PolicyProblem:
    return PolicyProblem(file, 1, 1, f"cannot be read: {error.strerror or error}", hint)


def _split(lines: list[Line], problems: Problems) -> tuple[list[Line], list[Line]]:
    """The header, from its opening line, and the lines below it. Raises PolicyInvalid when there is none."""
    lines = [line for line in lines if line.text.strip() and not line.text.lstrip().startswith("#")]
    fences = [at for at, line in enumerate(lines) if line.text.strip() == "---"]
    if not fences or fences[0] != 0:
        first = lines[0] if lines else Line(1, "")
        problems.add(first.number, 1, "the header is missing", hint=EXAMPLE, source_line=first.text or None)
        problems.raise_if_any()
    if len(fences) == 1:
        problems.add(lines[0].number, 1, "the header is not closed", hint="end it with a line ---", source_line="---")
        problems.raise_if_any()
    return lines[: fences[1]], lines[fences[1] + 1 :]


@dataclass(slots=True)
class _Body:
    """What the lines below the header say."""

    terms: list[str] = field(default_factory=list)
    options: list[tuple[int, TermOptions]] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)


def _body(lines: list[Line], problems: Problems, *, end_of_file: int) -> _Body:
    body = _Body()
    first_seen: dict[tuple[TermKind, str], tuple[int, bool]] = {}
    patterns = 0
    for line in lines:
        breathe()
        if len(body.terms) + len(body.allow) == MAX_TERMS:
            problems.add(line.number, 1, f"more than {MAX_TERMS} terms", hint="split the list")
            break
        entry = read_line(line.text)
        complaints = entry.complaints
        kind = entry.options.kind
        patterns += kind is TermKind.REGEX
        key = (kind, same_term(entry.text) if entry.plain else entry.text)
        if not complaints and key in first_seen:
            complaints = (_again(line.text, entry, *first_seen[key]),)
        elif kind is TermKind.REGEX and patterns == MAX_PATTERNS + 1:
            complaints += (Complaint(0, f"more than {MAX_PATTERNS} patterns", "split the list"),)
        first_seen.setdefault(key, (line.number, entry.allow))
        for complaint in complaints:
            problems.add(line.number, complaint.at + 1, complaint.message, hint=complaint.hint, source_line=line.text)
        if entry.allow:
            body.allow.append(entry.text)
            continue
        if entry.options != _PLAIN:
            body.options.append((len(body.terms), entry.options))
        body.terms.append(entry.text)
    if not body.terms:
        problems.add(end_of_file, 1, "the list is empty", hint="write one term a line below the header")
    return body


_PLAIN = TermOptions()


def _again(line: str, entry: Entry, first: int, allowed: bool) -> Complaint:
    at = max(line.rfind(entry.text), 0)
    if allowed != entry.allow:
        hint = f"line {first} says the other; within an allow phrase nothing is found"
        return Complaint(at, "a term cannot be an allow phrase as well", hint)
    word = "phrase" if entry.allow else "term"
    return Complaint(at, f"the {word} is listed already", f"first in line {first}; remove one of them")
