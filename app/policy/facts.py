"""What a condition can see of an upload: values that are known, values that may be higher, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain import (
    Findings,
    KeywordList,
    KeywordMatch,
    Needs,
    ProbeScore,
    Status,
    TextFinding,
    TextSource,
    UploadContext,
)
from app.policy.bounds import Number
from app.policy.cel_syntax import Scalar
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


def gather(
    findings: Findings,
    context: UploadContext,
    *,
    needs: Needs,
    probes: Mapping[str, ProbeScore],
) -> Facts:
    """The facts of one upload; thresholds are not among them, and neither are scores, which are made of them."""
    facts = Facts()
    facts.known.update(_image_and_context(findings, context))
    _add_surface(facts, context.surface or "")
    for name, probe in probes.items():
        _add_probe(facts, name, probe)
    broken = broken_sources(findings, context)
    for keywords in needs.lists:
        _add_keywords(facts, keywords, findings, broken)
    _add_text_scores(facts, needs.lists, findings, broken)
    _add_chars(facts, findings, needs, broken)
    _add_codes(facts, findings)
    return facts


def broken_sources(findings: Findings, context: UploadContext) -> dict[TextSource, str]:
    """The text sources that were not read and matched in full, with what to say of them. Absent means unknown, but
    for a caption that was not given there is nothing to read."""
    ends: dict[TextSource, tuple[Status, str | None]] = {
        TextSource.OCR: (findings.ocr.status, findings.ocr.reason),
        TextSource.MODEL_TEXT: (findings.model_text.status, findings.model_text.reason),
        TextSource.QR: (findings.codes.status, findings.codes.reason),
        TextSource.SCENE: (findings.scene.status, findings.scene.reason),
        TextSource.CAPTION: (Status.OK, None),
    }
    broken = {}
    for source, (read, reason) in ends.items():
        if source is TextSource.CAPTION and not (findings.caption or context.caption):
            continue
        matched = findings.keywords.sources.get(source)
        if read is not Status.OK:
            broken[source] = _said(source.value, read, reason)
        elif matched is not Status.OK:
            broken[source] = _said(f"keywords ({source.value})", matched or Status.SKIPPED, None)
    return broken


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


def _add_probe(facts: Facts, name: str, probe: ProbeScore) -> None:
    if probe.p is not None and probe.mass is not None and not probe.lower_bound:
        facts.known[f"probes.{name}.p"] = probe.p
        facts.known[f"probes.{name}.mass"] = probe.mass
        return
    if probe.absent:
        facts.known.update({f"probes.{name}.p": 0.0, f"probes.{name}.mass": 1.0})
        facts.absent.update((f"probes.{name}.p", f"probes.{name}.mass"))
        return
    blame = _probe_blame(name, probe)
    facts.add(f"probes.{name}.p", probe.p, lower_bound=probe.lower_bound, blame=blame)
    # The smallest mass over all readings: with one missing it is bounded on neither side that a policy asks about.
    facts.add(f"probes.{name}.mass", None if probe.lower_bound else probe.mass, lower_bound=False, blame=blame)


def _probe_blame(name: str, probe: ProbeScore) -> list[str]:
    """Of a probe that is not known, or not whole."""
    status = "incomplete" if probe.status is Status.OK else probe.status.value
    return [f"probes.{name}: {status}" + (f" ({probe.reason})" if probe.reason else "")]


#: What is said of a list without a match.
_NOTHING: dict[str, Number] = {"count": 0, "terms": 0, "score": 0.0, "severity": 0}


def _add_keywords(facts: Facts, keywords: KeywordList, findings: Findings, broken: Mapping[TextSource, str]) -> None:
    matches = of_list(keywords, findings.keywords.matches) if findings.keywords.matches else []
    blame = {said for source, said in broken.items() if source in keywords.sources} | _cut((keywords,), findings)
    seen: dict[str, Number] = _NOTHING
    if matches:
        seen = {
            "count": _found(matches),
            "terms": len({match.term for match in matches if counts(match)}),
            "score": best_score(matches),
            "severity": highest_severity(keywords, matches),
        }
    for name, value in seen.items():
        facts.add(f"keywords.{keywords.name}.{name}", value, lower_bound=bool(blame), blame=blame)


def _add_text_scores(
    facts: Facts, lists: Sequence[KeywordList], findings: Findings, broken: Mapping[TextSource, str]
) -> None:
    for category in sorted({keywords.category for keywords in lists}):
        own = [keywords for keywords in lists if keywords.category == category]
        blame = {said for source, said in broken.items() if any(source in keywords.sources for keywords in own)}
        blame |= _cut(own, findings)
        score = category_score(own, findings.keywords.matches)
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


def _add_chars(facts: Facts, findings: Findings, needs: Needs, broken: Mapping[TextSource, str]) -> None:
    """Two readers of one picture read the same text: the longer reading counts."""
    readers: list[tuple[TextSource, TextFinding]] = []
    if needs.read_text:
        readers.append((TextSource.OCR, findings.ocr))
    if needs.model_text:
        readers.append((TextSource.MODEL_TEXT, findings.model_text))
    chars = max((sum(len(line.text) for line in finding.lines) for _, finding in readers), default=None)
    unread = [source for source, finding in readers if finding.status is not Status.OK]
    facts.add(
        "text.chars",
        chars,
        lower_bound=bool(unread),
        blame={broken[source] for source in unread} or {"text: no reader is on"},
    )


def _add_codes(facts: Facts, findings: Findings) -> None:
    codes = findings.codes
    said = _said(TextSource.QR.value, codes.status, codes.reason)
    facts.add("codes.count", len(codes.codes), lower_bound=codes.status is not Status.OK, blame={said})


def _said(what: str, status: Status, reason: str | None) -> str:
    return f"{what}: {status.value}" + (f" ({reason})" if reason else "")
