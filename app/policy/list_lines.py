"""The lines below a list's header: `[options] text  # comment`."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

import re2

from app.domain import BUILTIN_MATCHERS, Severity, TermKind, TermOptions
from app.policy.list_terms import Complaint, term_complaints
from app.policy.vocabulary import did_you_mean

MAX_PATTERN_CHARACTERS = 500
MAX_PATTERNS = 200

#: Of a compiled pattern, in bytes: what matching allows too.
_PATTERN_BYTES = 1 << 20

_COMMENT = re.compile(r"\s+#(?:\s.*)?$")
_OPTION = re.compile(r"\s*(?P<name>[^,=]*?)\s*(?:=\s*(?P<value>[^,]*?)\s*)?(?:,|$)")
_FLAGS = ("allow", "regex", "builtin", "exact", "word", "inside")
_VALUES = ("until", "severity")

#: What no pattern may be found in: it would be found everywhere.
_ORDINARY = ("a", "e", "0", "1", " ", "的", ".")

#: Most lines: words of letters and digits. They have no options and nothing to complain of.
_PLAIN_LINE = re.compile(r"[0-9A-Za-z\u4e00-\u9fff]{2,50}(?: [0-9A-Za-z\u4e00-\u9fff]{1,50}){0,3}")

_PLAIN = TermOptions()


@dataclass(frozen=True, slots=True)
class Entry:
    """A line read. `allow`: the text is an allow phrase. Complaints count their places from the line's beginning."""

    text: str
    options: TermOptions = _PLAIN
    allow: bool = False
    complaints: tuple[Complaint, ...] = ()

    @property
    def plain(self) -> bool:
        return self.options.kind is TermKind.PLAIN


def read_line(line: str) -> Entry:
    """The entry of a line that is neither empty nor a comment."""
    if _PLAIN_LINE.fullmatch(line):
        return Entry(line)
    body = _COMMENT.sub("", line)
    indent = len(body) - len(body.lstrip())
    if not body.lstrip().startswith("["):
        text = body.strip()
        return Entry(text, complaints=_shifted(indent, term_complaints(text)))
    close = body.find("]")
    if close < 0:
        return Entry(body, complaints=(Complaint(indent, "the options are not closed", _OPTIONS_HINT),))
    options, flags, complaints = _options(body[indent + 1 : close], indent + 1)
    rest = body[close + 1 :]
    text, at = rest.strip(), close + 1 + len(rest) - len(rest.lstrip())
    if not text:
        complaints.append(Complaint(len(body.rstrip()), "nothing follows the options", _OPTIONS_HINT))
    else:
        complaints += _shifted(at, _TEXT_COMPLAINTS[options.kind](text))
    return Entry(text, options, "allow" in flags, tuple(complaints))


_OPTIONS_HINT = "write `[word, until=2027-01-31] the term`"


def _options(written: str, start: int) -> tuple[TermOptions, set[str], list[Complaint]]:
    """The options between the brackets, which begin at `start`."""
    options, seen, complaints = TermOptions(), set[str](), list[Complaint]()
    for match in _OPTION.finditer(written):
        if match.start() == len(written) and written and not written.rstrip().endswith(","):
            break
        name, value, at = match["name"], match["value"], start + match.start("name")
        if name in seen:
            complaints.append(Complaint(at, f"`{name}` is given twice", "name it once"))
        elif name in _FLAGS and value is not None:
            complaints.append(Complaint(at, f"`{name}` has no value", f"write `{name}` alone"))
        elif name in _VALUES:
            try:
                options = _set(options, name, value)
            except ValueError as wrong:
                where = at if value is None else start + match.start("value")
                complaints.append(Complaint(where, str(wrong), _VALUE_HINTS[name]))
        elif name not in _FLAGS:
            hint = did_you_mean(name, (*_FLAGS, *_VALUES)) if name else _OPTIONS_HINT
            complaints.append(Complaint(at, f"unknown option `{name}`" if name else "an empty option", hint or ""))
        seen.add(name)
    kind = TermKind.REGEX if "regex" in seen else TermKind.BUILTIN if "builtin" in seen else TermKind.PLAIN
    options = replace(options, kind=kind, exact="exact" in seen, word="word" in seen, inside="inside" in seen)
    complaints += (Complaint(start - 1, message, hint) for message, hint in _conflicts(seen))
    return options, seen, complaints


def _conflicts(seen: set[str]) -> Iterator[tuple[str, str]]:
    kinds = [name for name in ("allow", "regex", "builtin") if name in seen]
    if len(kinds) > 1:
        yield f"`{kinds[0]}` and `{kinds[1]}` exclude each other", "write two lines"
    elif "allow" in seen and len(seen - {""}) > 1:
        yield "`allow` has no further options", "an allow phrase is one wherever it stands"
    elif kinds and not seen.isdisjoint({"exact", "word", "inside"}):
        yield f"`exact`, `word` and `inside` say nothing of a `{kinds[0]}`", "leave them out"
    elif {"word", "inside"} <= seen:
        yield "`word` and `inside` exclude each other", "leave one of them out"


_VALUE_HINTS = {"until": "the last day, as `until=2027-01-31`", "severity": "as `severity=critical`"}


def _set(options: TermOptions, name: str, value: str | None) -> TermOptions:
    """Raises ValueError with what is wrong with the value."""
    if not value:
        raise ValueError(f"`{name}` has no value")
    if name == "severity":
        names = {severity.name.lower(): severity for severity in Severity}
        if value not in names:
            raise ValueError(f"unknown severity “{value}”")
        return replace(options, severity=names[value])
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError(f"“{value}” is not a date")
    try:
        return replace(options, until=date.fromisoformat(value))
    except ValueError as invalid:
        raise ValueError(f"there is no day “{value}”") from invalid


def _pattern_complaints(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_PATTERN_CHARACTERS:
        message = f"the pattern has {len(text)} characters; at most {MAX_PATTERN_CHARACTERS} are allowed"
        yield Complaint(MAX_PATTERN_CHARACTERS, message, "split it into several lines")
        return
    for at, character in enumerate(text):
        if unicodedata.category(character) == "Cc" or character == "\ufffd":
            yield Complaint(
                at, f"character U+{ord(character):04X} in a pattern", "write it as an escape, such as `\\t`"
            )
            return
        if unicodedata.normalize("NFKC", character) != character:
            plain = unicodedata.normalize("NFKC", character)
            yield Complaint(at, f"“{character}” is never in folded text", f"write “{plain}”")
            return
    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = _PATTERN_BYTES
    options.log_errors = False
    try:
        pattern = re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else "not a pattern"
        detail = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        hint = "RE2's syntax: no look-around and no back-references; repetitions to 1000 at most"
        yield Complaint(0, f"not a pattern that can be matched: {detail}", hint)
        return
    if pattern.search("") is not None:
        yield Complaint(0, "the pattern matches the empty text", "`+` instead of `*`, or something before it")
    elif any(pattern.search(ordinary) for ordinary in _ORDINARY):
        yield Complaint(0, "the pattern matches a single ordinary character", "it would match in any text")


def _builtin_complaints(text: str) -> Iterator[Complaint]:
    if text not in BUILTIN_MATCHERS:
        yield Complaint(0, f"there is no built-in matcher “{text[:40]}”", did_you_mean(text, BUILTIN_MATCHERS) or "")


_TEXT_COMPLAINTS: dict[TermKind, Callable[[str], Iterator[Complaint]]] = {
    TermKind.PLAIN: term_complaints,
    TermKind.REGEX: _pattern_complaints,
    TermKind.BUILTIN: _builtin_complaints,
}


def _shifted(by: int, complaints: Iterator[Complaint]) -> tuple[Complaint, ...]:
    return tuple(replace(complaint, at=complaint.at + by) for complaint in complaints)
