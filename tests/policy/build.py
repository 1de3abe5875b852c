"""Policies, lists and findings for the tests."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from app.domain import (
    CodesFinding,
    Evaluation,
    Findings,
    ImageFacts,
    KeywordFinding,
    KeywordList,
    KeywordMatch,
    ProbeFinding,
    ProbeReading,
    SceneFinding,
    Severity,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    UploadContext,
)
from app.policy.evaluate import evaluate
from app.policy.load import build_ruleset
from app.policy.ruleset import Ruleset

READ = frozenset({TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.CAPTION})


def keyword_list(name: str, *, binding: bool = False, category: str = "goods", **given: Any) -> KeywordList:
    values: dict[str, Any] = {
        "severity": Severity.HIGH,
        "languages": ("en",),
        "sources": READ,
        "terms": ("x",),
        "digest": f"sha256:{name}",
    }
    return KeywordList(name=name, category=category, binding=binding, **(values | given))


LISTS = (keyword_list("banned"), keyword_list("sworn", binding=True))


def document(rules: Iterable[Mapping[str, Any]], /, **parts: Any) -> dict[str, Any]:
    """A small sound policy with these rules; `parts` replace its other parts."""
    return {
        "version": 1,
        "categories": {"goods": {"title": {"en": "Goods"}, "severity": "high"}},
        "thresholds": {"high": 0.9, "half": 0.5, "three": 3},
        "probes": {
            name: {"category": "goods", "questions": {"en": f"{name}?", "zh": f"{name}？"}} for name in ("a", "b")
        },
        "scores": {"goods": {"max": ["probes.a.p", "probes.b.p"]}},
        "rules": list(rules),
    } | parts


#: As those of `document`, and `t`, which is asked of what the uploader wrote, and `both`.
TEXT_PROBES = {
    name: {"category": "goods", "questions": {"en": f"{name}?", "zh": f"{name}？"}} | applies
    for name, applies in {
        "a": {},
        "b": {},
        "t": {"applies_to": "text"},
        "both": {"applies_to": ["picture", "text"]},
    }.items()
}


def rule(rule_id: str, when: Any, then: Any = "reject", **given: Any) -> dict[str, Any]:
    reason = {} if isinstance(then, dict) else {"reason": {"en": f"because of {rule_id}"}}
    return {"id": rule_id, "category": "goods", "when": when, "then": then} | reason | given


def allow(rule_id: str, when: Any, *overrides: str, **given: Any) -> dict[str, Any]:
    return rule(rule_id, when, {"pass": {"overrides": list(overrides)}}, **given)


def ruleset(
    *rules: Mapping[str, Any], lists: Iterable[KeywordList] = LISTS, kept: bool = False, **parts: Any
) -> Ruleset:
    """`kept`: rules that no upload could make true are taken, as those of an older version are."""
    text = yaml.safe_dump(document(rules, **parts), allow_unicode=True, sort_keys=False)
    return build_ruleset(text.encode(), tuple(lists), kept=kept)


def reading(
    p: float | None,
    *,
    frame: int = 0,
    language: str = "en",
    status: Status | None = None,
    mass: float = 1.0,
    part: int | None = None,
) -> ProbeReading:
    """A reading with this p and mass; without p, one that was not answered. With `part`, of the text."""
    if p is None:
        return ProbeReading(frame=frame, language=language, status=status or Status.TIMEOUT, text_part=part)
    return ProbeReading(
        frame=frame,
        text_part=part,
        language=language,
        status=Status.OK,
        log_yes=math.log(max(p * mass, 1e-300)),
        log_no=math.log(max((1 - p) * mass, 1e-300)),
    )


def match(name: str, source: TextSource = TextSource.OCR) -> KeywordMatch:
    return KeywordMatch(
        list=name, category="goods", term="x", matched="x", source=source, span=(0, 1), line=0, view="fold"
    )


def findings(
    *,
    a: float | None = 0.1,
    b: float | None = 0.1,
    matches: Iterable[KeywordMatch] = (),
    ocr: Status = Status.OK,
    caption: str | None = None,
    text: str = "",
    **image: Any,
) -> Findings:
    return Findings(
        image=ImageFacts(**({"sha256": "0" * 64, "width": 8, "height": 8, "format": "png", "size_bytes": 9} | image)),
        probes={name: ProbeFinding(readings=(reading(p),)) for name, p in {"a": a, "b": b}.items()},
        ocr=TextFinding(status=ocr, lines=(TextLine(text=text),) if text else ()),
        model_text=TextFinding(status=Status.SKIPPED),
        codes=CodesFinding(status=Status.OK, reason=None),
        caption=caption,
        scene=SceneFinding(status=Status.OK, description="a thing"),
        keywords=KeywordFinding(
            sources={TextSource.OCR: ocr}
            | dict.fromkeys((TextSource.QR, TextSource.CAPTION, TextSource.SCENE), Status.OK),
            matches=tuple(matches),
        ),
    )


def judge(rules: Ruleset, found: Findings, *, model: str | None = None, **context: Any) -> Evaluation:
    return evaluate(rules, found, UploadContext(**context), model_digest=model)
