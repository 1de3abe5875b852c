"""What a ruleset wants to know of a picture: the signals' order form."""

from dataclasses import dataclass, field

from app.domain.words import Severity, TextSource


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """One yes/no question. The model must be able to answer it with one word."""

    probe: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class KeywordList:
    """One file of `rules/`, parsed.

    `digest` is `sha256:` of the file's bytes. `sources` are the text sources this list is matched over; the scene
    description is among them only if the list opts in, because "no weapons visible" names weapons.
    A `binding` list is one that no allow rule may override.
    """

    name: str
    category: str
    severity: Severity
    languages: tuple[str, ...]
    sources: frozenset[TextSource]
    binding: bool
    terms: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Needs:
    """`read_text` asks RapidOCR, `model_text` asks the model to read, `describe` asks it for the scene."""

    probes: tuple[ProbeQuestion, ...] = ()
    read_text: bool = True
    model_text: bool = False
    describe: bool = True
    lists: tuple[KeywordList, ...] = field(default=())
