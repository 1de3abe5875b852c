"""The names that conditions may use, and their types."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """CEL's types, as its messages name them."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"


#: What is known of every upload.
FIXED_NAMES: Mapping[str, Kind] = {
    "text.chars": Kind.INT,
    "codes.count": Kind.INT,
    "image.width": Kind.INT,
    "image.height": Kind.INT,
    "image.frames": Kind.INT,
    "image.size_bytes": Kind.INT,
    "image.format": Kind.STRING,
    "image.transparent": Kind.BOOL,
    "context.surface": Kind.STRING,
    "context.has_caption": Kind.BOOL,
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kinds` gives each name's type; `thresholds` the numbers behind those that are constants."""

    kinds: Mapping[str, Kind]
    thresholds: Mapping[str, int | float]

    @classmethod
    def of(
        cls,
        *,
        probes: Iterable[str],
        scores: Iterable[str],
        lists: Iterable[str],
        thresholds: Mapping[str, int | float],
        text_categories: Iterable[str] = (),
    ) -> "Vocabulary":
        """`text_categories` are those that some list is of."""
        kinds = dict(FIXED_NAMES)
        for probe in probes:
            kinds |= {f"probes.{probe}.p": Kind.DOUBLE, f"probes.{probe}.mass": Kind.DOUBLE}
        kinds |= {f"scores.{score}": Kind.DOUBLE for score in scores}
        for name in lists:
            kinds |= {f"keywords.{name}.{fact}": Kind.INT for fact in ("count", "severity", "terms")}
            kinds[f"keywords.{name}.score"] = Kind.DOUBLE
        kinds |= {f"text.score.{category}": Kind.DOUBLE for category in text_categories}
        named = {f"thresholds.{name}": value for name, value in thresholds.items()}
        kinds |= {name: Kind.INT if isinstance(value, int) else Kind.DOUBLE for name, value in named.items()}
        return cls(kinds, named)

    def suggest(self, name: str) -> str | None:
        """What an unknown name may have meant, as a hint."""
        longer = sorted(known for known in self.kinds if known.startswith(f"{name}."))
        if longer:
            return f"did you mean {join_words(longer)}?"
        if (missing := _missing_list(name, self.kinds)) is not None:
            return missing
        close = _close(name, list(self.kinds), cutoff=0.75 if "." in name else 0.85)
        if close:
            return f"did you mean {join_words(close)}?"
        if "." not in name:
            meant = [known for known in self.kinds if name in known.split(".")[1:]]
            return f"did you mean {join_words(meant)}?" if meant else f'a text is written in quotes: `"{name}"`'
        family = [known for known in self.kinds if known.startswith(name.partition(".")[0] + ".")]
        if family:
            return f"known are {join_words(family)}"
        return f"names begin with {join_words(sorted({known.partition('.')[0] + '.' for known in self.kinds}))}"


def probe_of(name: str) -> str:
    """`violence` of `probes.violence.p`."""
    return name.split(".")[1]


def _missing_list(name: str, known: Iterable[str]) -> str | None:
    """What to say of a list that is not there."""
    section, _, rest = name.partition(".")
    if section != "keywords" or not rest:
        return None
    lists = {other.split(".")[1] for other in known if other.startswith("keywords.")}
    named = rest.partition(".")[0]
    if named in lists or _close(named, sorted(lists), cutoff=0.6):
        return None
    others = f"known are {join_words(sorted(lists))}" if lists else "there are no lists at all"
    return f"there is no list `{named}`, that is no file `{named}.txt` with the lists; {others}"


#: A hint lists no more names than one can read.
_MAX_LISTED = 8


#: Looking for what somebody may have meant takes as long as there are words, and again for each mistake.
_MAX_COMPARED = 1000
_MAX_WORD_CHARACTERS = 200


def _close(word: str, words: list[str], *, cutoff: float) -> list[str]:
    if len(words) > _MAX_COMPARED or len(word) > _MAX_WORD_CHARACTERS:
        return []
    return difflib.get_close_matches(word, words, n=3, cutoff=cutoff)


def join_words(words: Iterable[str], last: str = "or") -> str:
    """`a`, `b` or `c`, cut off when there are many; `last` stands before the last."""
    quoted = [f"`{word}`" for word in words]
    if len(quoted) > _MAX_LISTED + 1:  # "1 more" would be no shorter
        quoted = [*quoted[:_MAX_LISTED], f"{len(quoted) - _MAX_LISTED} more"]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names what is close to `word`, or else everything known."""
    words = sorted(known)
    close = _close(word, words, cutoff=0.6)
    if close:
        return f"did you mean {join_words(close)}?"
    return f"known are {join_words(words)}" if words else None
