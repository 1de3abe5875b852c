"""What a condition can see of an upload: values that are known, values that may be higher, and why."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from app.domain import (
    CodesFinding,
    Findings,
    KeywordList,
    KeywordMatch,
    Needs,
    SceneFinding,
    Status,
    TextFinding,
    TextSource,
    UploadContext,
)
from app.policy.bounds import Number
from app.policy.cel_syntax import Scalar
from app.policy.probe_scores import Scored
from app.policy.text_scores import best_score, category_score, counts, highest_severity, of_list


@dataclass(frozen=True, slots=True)
class Facts:
    """Every name of the vocabulary is in `known`, or in `at_least` (the value is this or higher), or missing.

    `absent` are those that speak of a text that is not there. They are in `known` too: nothing says yes where there is
    nothing. What is allowed may not rest on that.

    `blame` says, for a name that is not in `known`, which findings are to blame: `probes.violence: timeout`.
    """

    known: dict[str, Scalar] = field(default_factory=dict)
    at_least: dict[str, Number] = field(default_factory=dict)
    blame: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)

    def add(self, name: str, value: Number | None, *, lower_bound: bool, blame: Iterable[str]) -> None:
        if value is not None and not lower_bound:
            self.known[name] = value
            return
        if value is not None:
            self.at_least[name] = value
        self.blame[name] = tuple(sorted(blame))


#: What is said of a list without a match.
_NOTHING: Mapping[str, Number] = {"count": 0, "terms": 0, "score": 0.0, "severity": 0}
_TEXT_OF: Mapping[TextSource, Callable[[Findings], TextFinding]] = {
    TextSource.OCR: attrgetter("ocr"),
    TextSource.MODEL_TEXT: attrgetter("model_text"),
}
_FINDING_OF: Mapping[TextSource, Callable[[Findings], TextFinding | CodesFinding | SceneFinding]] = {
    **_TEXT_OF,
    TextSource.QR: attrgetter("codes"),
    TextSource.SCENE: attrgetter("scene"),
}
_OK = Status.OK


class FactGatherer:
    """Gathers the facts of one upload after the other, as the needs of a policy have it. Thresholds are not among
    them, and neither are scores, which are made of them."""

    def __init__(self, needs: Needs) -> None:
        self._lists = needs.lists
        self._categories = {
            category: [keywords for keywords in needs.lists if keywords.category == category]
            for category in sorted({keywords.category for keywords in needs.lists})
        }
        self._probes = {
            name: (f"probes.{name}.p", f"probes.{name}.mass")
            for name in dict.fromkeys(question.probe for question in needs.probes)
        }
        readers = {TextSource.OCR: needs.read_text, TextSource.MODEL_TEXT: needs.model_text}
        self._readers = [(source, _TEXT_OF[source]) for source, on in readers.items() if on]
        self._matched = frozenset().union(*(keywords.sources for keywords in needs.lists))
        self._sources = [
            (source, _FINDING_OF.get(source))
            for source in TextSource
            if source in self._matched or readers.get(source, False)
        ]
        self._nothing: dict[str, Scalar] = {
            f"keywords.{keywords.name}.{fact}": value for keywords in needs.lists for fact, value in _NOTHING.items()
        }
        self._nothing |= {f"text.score.{category}": category_score((), ()) for category in self._categories}

    def gather(self, findings: Findings, context: UploadContext, probes: Mapping[str, Scored]) -> Facts:
        """`probes` has the scores of those that are needed."""
        facts = Facts(_image_and_context(findings, context))
        _add_surface(facts, context.surface or "")
        for name, (p, mass) in self._probes.items():
            _add_probe(facts, name, p, mass, probes[name])
        broken = self._broken_sources(findings, context)
        keywords = findings.keywords
        if keywords.matches or keywords.cut or not self._matched.isdisjoint(broken):
            for one in self._lists:
                _add_keywords(facts, one, findings, broken)
            for category, lists in self._categories.items():
                _add_text_score(facts, category, lists, findings, broken)
        else:  # by far the most common
            facts.known.update(self._nothing)
        self._add_chars(facts, findings, broken)
        _add_codes(facts, findings)
        return facts

    def _broken_sources(self, findings: Findings, context: UploadContext) -> dict[TextSource, str]:
        """The text sources that are asked for and were not read and matched in full, with what to say of them. Absent
        means unknown, but for a caption that was not given there is nothing to read."""
        broken, matched = {}, findings.keywords.sources
        for source, finding_of in self._sources:
            if finding_of is not None and (finding := finding_of(findings)).status is not _OK:
                broken[source] = _said(source.value, finding.status, finding.reason)
            elif matched.get(source) is not _OK and (finding_of or findings.caption or context.caption):
                broken[source] = _said(f"keywords ({source.value})", matched.get(source) or Status.SKIPPED, None)
        return broken

    def _add_chars(self, facts: Facts, findings: Findings, broken: Mapping[TextSource, str]) -> None:
        """Two readers of one picture read the same text: the longer reading counts."""
        readers = [(source, finding_of(findings)) for source, finding_of in self._readers]
        chars = max([sum([len(line.text) for line in finding.lines]) for _, finding in readers], default=None)
        unread = [source for source, finding in readers if finding.status is not _OK]
        blame = {broken[source] for source in unread} or {"text: no reader is on"}
        facts.add("text.chars", chars, lower_bound=bool(unread), blame=blame)


def _image_and_context(findings: Findings, context: UploadContext) -> dict[str, Scalar]:
    image = findings.image
    return {
        "image.width": image.width,
        "image.height": image.height,
        "image.frames": image.frames,
        "image.size_bytes": image.size_bytes,
        "image.format": image.format,
        "image.transparent": image.transparent,
        "context.has_caption": bool(context.caption),
    }


def _add_surface(facts: Facts, surface: str) -> None:
    """JSON can carry half of a surrogate pair, which is no text and which the CEL library refuses."""
    if surface.isascii() or surface.encode("utf-8", "ignore").decode() == surface:
        facts.known["context.surface"] = surface
    else:
        facts.blame["context.surface"] = ("context.surface: not text",)


def _add_probe(facts: Facts, name: str, p_name: str, mass_name: str, probe: Scored) -> None:
    p, mass = probe.p, probe.mass
    if p is not None and mass is not None and not probe.lower_bound:
        facts.known[p_name] = p
        facts.known[mass_name] = mass
        return
    if probe.absent:
        facts.known.update({p_name: 0.0, mass_name: 1.0})
        facts.absent.update((p_name, mass_name))
        return
    blame = _probe_blame(name, probe)
    facts.add(p_name, p, lower_bound=probe.lower_bound, blame=blame)
    # The smallest mass over all readings: with one missing it is bounded on neither side that a policy asks about.
    facts.add(mass_name, None if probe.lower_bound else mass, lower_bound=False, blame=blame)


def _probe_blame(name: str, probe: Scored) -> list[str]:
    """Of a probe that is not known, or not whole."""
    status = "incomplete" if probe.status is Status.OK else probe.status.value
    return [f"probes.{name}: {status}" + (f" ({probe.reason})" if probe.reason else "")]


def _add_keywords(facts: Facts, keywords: KeywordList, findings: Findings, broken: Mapping[TextSource, str]) -> None:
    matches = of_list(keywords, findings.keywords.matches) if findings.keywords.matches else []
    blame = {said for source, said in broken.items() if source in keywords.sources} | _cut((keywords,), findings)
    seen = _NOTHING
    if matches:
        seen = {
            "count": _found(matches),
            "terms": len({match.term for match in matches if counts(match)}),
            "score": best_score(matches),
            "severity": highest_severity(keywords, matches),
        }
    for name, value in seen.items():
        facts.add(f"keywords.{keywords.name}.{name}", value, lower_bound=bool(blame), blame=blame)


def _add_text_score(
    facts: Facts, category: str, lists: Sequence[KeywordList], findings: Findings, broken: Mapping[TextSource, str]
) -> None:
    """`lists` are those of the category."""
    blame = {said for source, said in broken.items() if any(source in keywords.sources for keywords in lists)}
    blame |= _cut(lists, findings)
    score = category_score(lists, findings.keywords.matches)
    facts.add(f"text.score.{category}", score, lower_bound=bool(blame), blame=blame)


def _cut(lists: Sequence[KeywordList], findings: Findings) -> set[str]:
    cut = findings.keywords.cut
    return {f"keywords.{one.name}: more matches than are counted" for one in lists if one.name in cut} if cut else set()


def _found(matches: Iterable[KeywordMatch]) -> int:
    """How many matches of a list count. A term that both readers of the picture saw stands there once."""
    found = Counter((match.term, match.source) for match in matches if counts(match))
    twice = sum(
        min(found[term, TextSource.OCR], found[term, TextSource.MODEL_TEXT]) for term in {one for one, _ in found}
    )
    return found.total() - twice


def _add_codes(facts: Facts, findings: Findings) -> None:
    codes = findings.codes
    if codes.status is _OK:
        facts.known["codes.count"] = len(codes.codes)
        return
    said = _said(TextSource.QR.value, codes.status, codes.reason)
    facts.add("codes.count", len(codes.codes), lower_bound=True, blame={said})


def _said(what: str, status: Status, reason: str | None) -> str:
    return f"{what}: {status.value}" + (f" ({reason})" if reason else "")
