"""What a ruleset wants to know of an upload: the signals' order form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from app.domain.words import Severity, Subject, TermKind, TextSource


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """One yes/no question. The model must be able to answer it with one word."""

    probe: str
    language: str
    text: str
    subject: Subject = Subject.PICTURE


#: The normalisations that can find a term, loosest last, with what a match found through each is worth (0..1). What
#: several found together is worth their product. `homophones` is off unless a list asks for it.
VIEWS: Mapping[str, float] = {
    "fold": 1.0,
    "simplified": 0.95,
    "vertical": 0.9,
    "separators": 0.9,
    "leet": 0.8,
    "repeats": 0.8,
    "split": 0.8,
    "pinyin": 0.7,
    "fuzzy_pinyin": 0.65,
    "columns": 0.65,
    "reversed": 0.6,
    "homophones": 0.4,
}

#: The views of a list that names none.
DEFAULT_VIEWS: tuple[tuple[str, float], ...] = tuple(item for item in VIEWS.items() if item[0] != "homophones")

#: The matchers that a list can name in a `[builtin]` line.
BUILTIN_MATCHERS = ("url", "email", "phone", "wechat", "qq", "telegram", "bank_card", "id_card")

#: A match with a lower score is recorded, and counts for nothing but the score itself.
COUNTED_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class TermOptions:
    """What a line of a list says beyond its text.

    `exact`: found by the fold view alone. `word`: its neighbours may not be letters or digits of any script; `inside`:
    they may be, also where it begins or ends with an ASCII letter. `until`: the last day (UTC) on which it is looked
    for. `severity`: instead of the list's.
    """

    kind: TermKind = TermKind.PLAIN
    exact: bool = False
    word: bool = False
    inside: bool = False
    severity: Severity | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class KeywordList:
    """One file of `rules/`, parsed.

    `digest` is `sha256:` of the file's bytes. `sources` are the text sources this list is matched over; the scene
    description is among them only if the list opts in, because "no weapons visible" names weapons.
    A `binding` list is one that no allow rule may override. `options` are those of the terms that have any, by the
    term's index. Within a text that matches an `allow` phrase no term of this list is found. `views` are the
    normalisations that may find a term, with what each is worth.
    """

    name: str
    category: str
    severity: Severity
    languages: tuple[str, ...]
    sources: frozenset[TextSource]
    binding: bool
    terms: tuple[str, ...]
    digest: str
    options: tuple[tuple[int, TermOptions], ...] = ()
    allow: tuple[str, ...] = ()
    views: tuple[tuple[str, float], ...] = DEFAULT_VIEWS


@dataclass(frozen=True, slots=True)
class Needs:
    """`read_text` asks RapidOCR, `read_codes` looks for QR and bar codes, `model_text` asks the model to read,
    `describe` asks it for the scene."""

    probes: tuple[ProbeQuestion, ...] = ()
    read_text: bool = True
    read_codes: bool = True
    model_text: bool = False
    describe: bool = True
    lists: tuple[KeywordList, ...] = field(default=())
