"""Whole policies around generated conditions, and by the book what each makes of an upload."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from hypothesis import strategies as st

from app.domain import Truth
from tests.policy.build import allow, document, rule
from tests.policy.differential.generate import CONDITIONS, STYLES
from tests.policy.differential.language import Node, Style, names, policy_text
from tests.policy.differential.reference import Facts
from tests.policy.differential.uploads import MODEL

THRESHOLDS: Mapping[str, int | float] = {"high": 0.9, "half": 0.5, "three": 3}
GRAVITY = {"pass": 0, "review": 1, "reject": 2}


@dataclass(frozen=True)
class Tree:
    """`word` is `any`, `all` or `not`."""

    word: str
    parts: tuple["When", ...]


@dataclass(frozen=True)
class Leaf:
    node: Node
    style: Style


When: TypeAlias = Tree | Leaf


def leaves(when: When) -> Iterator[Leaf]:
    if isinstance(when, Leaf):
        yield when
    else:
        for part in when.parts:
            yield from leaves(part)


def written(when: When) -> Any:
    if isinstance(when, Leaf):
        return policy_text(when.node, when.style)
    parts = [written(part) for part in when.parts]
    return {when.word: parts[0] if when.word == "not" else parts}


@dataclass(frozen=True)
class Case:
    """`document` is what `text` says in YAML; `whens` are the conditions of its rules, by their ids."""

    text: bytes
    document: Mapping[str, Any]
    whens: Mapping[str, When]


WHENS: st.SearchStrategy[When] = st.recursive(
    st.builds(Leaf, CONDITIONS, STYLES),
    lambda inner: (
        st.builds(Tree, st.sampled_from(["any", "all"]), st.lists(inner, min_size=1, max_size=3).map(tuple))
        | inner.map(lambda part: Tree("not", (part,)))
    ),
    max_leaves=3,
)
THEN = st.sampled_from(["reject", "review"])
MODES = st.sampled_from(["live", "live", "live", "shadow", "draft"])
SCORES = st.sampled_from(
    [
        {"max": ["probes.a.p", "probes.b.p"]},
        {"noisy_or": ["probes.a.p", "probes.b.p"]},
        {"weighted": {"probes.a.p": 3, "probes.b.p": 1}},
        {"weighted": {"probes.b.p": 0.3}},
        {"max": ["text.score.arms"]},
        {"max": ["keywords.banned.score", "probes.a.p"]},
        {"noisy_or": ["text.score.goods", "probes.b.p", "keywords.sworn.score"]},
        {"weighted": {"keywords.posted.score": 1, "probes.b.p": 2, "text.score.goods": 0.5}},
    ]
)
CALIBRATIONS = st.sampled_from([None, MODEL, "sha256:" + "2" * 64]).map(
    lambda model: {"calibration": {"model": model, "slope": 0.5, "intercept": -0.25}} if model else {}
)
#: Of one of the probes: most uploads have no text at all, and then there is nothing to ask the other of.
APPLIES_TO = st.sampled_from(
    [{}, *({"applies_to": said} for said in ("picture", "text", ["text"], ["picture", "text"]))]
)


@st.composite
def _defaults(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "ask": draw(st.sampled_from([["en"], ["en", "zh"]])),
        "on_unknown": draw(THEN),
        "min_mass": 0.5,
        "signals": {"model_text": draw(st.booleans())},
    }


@st.composite
def _surfaces(draw: st.DrawFn, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(["chat", "Shop.v2"]))):
        own = {"high": draw(st.sampled_from([0.2, 1])), "three": draw(st.sampled_from([1, 5]))}
        surface: dict[str, Any] = {"thresholds": {one: own[one] for one in draw(st.sets(st.sampled_from(sorted(own))))}}
        changes: dict[str, Any] = {}
        for one in draw(st.lists(st.sampled_from(rules), max_size=2, unique_by=lambda rule: rule["id"])):
            change: dict[str, Any] = {"mode": draw(st.sampled_from(["live", "shadow", "off"]))}
            if change["mode"] != "off" and isinstance(one["then"], str) and draw(st.booleans()):
                change["then"] = draw(THEN)
            changes[one["id"]] = change
        if changes:
            surface["rules"] = changes
        if surface["thresholds"] or changes:
            made[name] = surface
    return made


@st.composite
def cases(draw: st.DrawFn) -> Case:
    whens: dict[str, When] = {}
    rules: list[dict[str, Any]] = []
    for at in range(draw(st.integers(1, 3))):
        whens[f"r{at}"] = draw(WHENS)
        unknown = draw(st.sampled_from([{}, {"on_unknown": "review"}, {"on_unknown": "reject"}]))
        rules.append(rule(f"r{at}", written(whens[f"r{at}"]), draw(THEN), mode=draw(MODES), **unknown))
    evaluated = [one["id"] for one in rules if one["mode"] != "draft"]
    for name in draw(st.sampled_from([(), ("allowed",), ("allowed", "also-allowed")])) if evaluated else ():
        whens[name] = draw(WHENS)
        named = draw(st.sets(st.sampled_from(evaluated), min_size=1))
        rules.append(allow(name, written(whens[name]), *sorted(named), mode=draw(MODES)))
    made = document(
        draw(st.permutations(rules)),
        categories={name: {"title": {"en": name}, "severity": "high"} for name in ("goods", "arms")},
        thresholds=dict(THRESHOLDS),
        defaults=draw(_defaults()),
        scores={"goods": draw(SCORES), "arms": draw(SCORES)},
        surfaces=draw(_surfaces(rules)),
    )
    for probe in made["probes"].values():
        probe.update(draw(CALIBRATIONS))
    made["probes"]["b"].update(draw(APPLIES_TO))
    made = json.loads(json.dumps(made))  # what stands at two places would be written as an alias
    text = yaml.safe_dump(
        made,
        allow_unicode=draw(st.booleans()),
        sort_keys=draw(st.booleans()),
        default_flow_style=draw(st.sampled_from([False, None, True])),
        width=draw(st.sampled_from([20, 80, 1000])),
    )
    return Case(text.encode(), made, whens)


@dataclass(frozen=True)
class Ruling:
    """What becomes of an upload. `aside` are the rules that are set aside, `asking` those that ask for the outcome."""

    outcome: str
    degraded: bool
    aside: frozenset[str]
    asking: frozenset[str]


def thresholds_on(case: Case, surface: str | None) -> dict[str, int | float]:
    own = case.document["surfaces"].get(surface, {}).get("thresholds", {})
    return {f"thresholds.{name}": type(value)(own.get(name, value)) for name, value in THRESHOLDS.items()}


def rules_on(case: Case, surface: str | None) -> dict[str, dict[str, Any]]:
    """The live and shadow rules, as the surface has them."""
    changes = case.document["surfaces"].get(surface, {}).get("rules", {})
    rules = {one["id"]: {**one, **changes.get(one["id"], {})} for one in case.document["rules"]}
    return {name: one for name, one in rules.items() if one["mode"] in ("live", "shadow")}


def fold(when: When, truths: Iterator[Truth]) -> Truth:
    """`truths` are those of the leaves, in the order they are written."""
    if isinstance(when, Leaf):
        return next(truths)
    parts = [fold(part, truths) for part in when.parts]
    if when.word == "not":
        return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}.get(parts[0], Truth.UNKNOWN)
    enough, other = (Truth.TRUE, Truth.FALSE) if when.word == "any" else (Truth.FALSE, Truth.TRUE)
    return enough if enough in parts else Truth.UNKNOWN if Truth.UNKNOWN in parts else other


def rule_out(case: Case, surface: str | None, results: Mapping[str, Truth], facts: Facts) -> Ruling:
    """The gravest of what true live rules ask for and of `on_unknown` of unknown ones, less what is set aside."""
    rules = rules_on(case, surface)
    live = {name: one for name, one in rules.items() if one["mode"] == "live"}
    allowing = {name: one["then"]["pass"]["overrides"] for name, one in live.items() if isinstance(one["then"], dict)}
    open_rules = {name for name in rules if isinstance(rules[name]["then"], str) and results[name] is not Truth.FALSE}
    allowed = {one for name, named in allowing.items() if results[name] is Truth.TRUE for one in named}
    aside = {name for name in open_rules & allowed if not _sworn(case, name, facts)}
    asks = {}
    for name in open_rules & live.keys() - aside:
        unknown = live[name].get("on_unknown", case.document["defaults"]["on_unknown"])
        asks[name] = live[name]["then"] if results[name] is Truth.TRUE else unknown
    outcome = max(asks.values(), key=lambda one: GRAVITY[one], default="pass")
    doubtful = {name for name in open_rules & live.keys() if results[name] is Truth.UNKNOWN}
    missed = {
        name
        for name, named in allowing.items()
        if results[name] is Truth.UNKNOWN and open_rules & live.keys() & {*named}
    }
    asking = frozenset(name for name, asked in asks.items() if asked == outcome)
    return Ruling(outcome, bool(doubtful or missed), frozenset(aside), asking)


def _sworn(case: Case, rule_id: str, facts: Facts) -> bool:
    """Whether it speaks of the binding list, through a score too, and the list has a match or may have one."""
    spoken = {name for leaf in leaves(case.whens[rule_id]) for name in names(leaf.node)}
    for category, score in case.document["scores"].items():
        if f"scores.{category}" in spoken:
            spoken |= {part for parts in score.values() for part in parts}
    sworn = any(name.startswith("keywords.sworn.") or name == "text.score.arms" for name in spoken)
    return sworn and facts.known.get("keywords.sworn.count") != 0
