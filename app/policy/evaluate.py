"""Findings in, evaluation out. Pure: no clock, no I/O; the same ruleset and findings give the same evaluation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain import (
    Evaluation,
    Findings,
    LeafTrace,
    Mode,
    Outcome,
    ProbeScore,
    RuleResult,
    Severity,
    Truth,
    UploadContext,
    Violation,
)
from app.policy import truth
from app.policy.bounds import decide
from app.policy.conditions import Compiler, Condition
from app.policy.facts import Facts, gather
from app.policy.probe_scores import score_probes
from app.policy.ruleset import AllOf, AnyOf, CompiledRule, Not, Program, Ruleset, Tree
from app.policy.schema import Policy
from app.policy.scores import CategoryScore, score_category


def evaluate(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Evaluation:
    """What the ruleset says of an upload. `model_digest` is the model that answered the probes: a calibration holds
    only for the model it was fitted on."""
    seen = see(ruleset, findings, context, model_digest=model_digest)
    judged = _set_aside(_judge_rules(ruleset.program, seen.facts), seen.facts)
    return _conclude(ruleset.policy, judged, seen)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ruleset sees of an upload before any rule is looked at."""

    facts: Facts
    probes: Mapping[str, ProbeScore]
    scores: Mapping[str, CategoryScore]


def see(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Seen:
    policy = ruleset.policy
    probes = score_probes(
        {name: policy.probes[name] for name in dict.fromkeys(question.probe for question in ruleset.needs.probes)},
        findings,
        languages=policy.defaults.ask,
        min_mass=policy.defaults.min_mass,
        model_digest=model_digest,
    )
    scores = {name: score_category(score, probes) for name, score in policy.scores.items()}
    facts = gather(findings, context, needs=ruleset.needs, probes=probes, scores=scores, formulas=policy.scores)
    return Seen(facts, probes, scores)


@dataclass(frozen=True, slots=True)
class _Judged:
    compiled: CompiledRule
    result: Truth
    leaves: tuple[tuple[Condition, Truth], ...]
    overridden_by: str | None = None

    @property
    def live(self) -> bool:
        return self.compiled.rule.mode is Mode.LIVE

    @property
    def allows(self) -> bool:
        return bool(self.compiled.rule.overrides)

    @property
    def open(self) -> bool:
        """True or unknown: it has a say."""
        return self.result is not Truth.FALSE


def _judge_rules(program: Program, facts: Facts) -> list[_Judged]:
    known = {**facts.known, **program.thresholds}
    judge = LeafJudge(program.compiler, known, facts.at_least)
    judged = []
    for compiled in program.rules:
        results = [judge(leaf) for leaf in compiled.leaves]
        leaves = tuple(zip(compiled.leaves, results, strict=True))
        judged.append(_Judged(compiled, _fold(compiled.tree, iter(results)), leaves))
    return judged


class LeafJudge:
    """Evaluates conditions over the facts of one upload."""

    def __init__(self, compiler: Compiler, known: Mapping[str, Any], at_least: Mapping[str, int | float]) -> None:
        self._compiler = compiler
        self._known = known
        self._at_least = at_least
        self._made: Any = None
        self._judged: dict[str, Truth] = {}

    def __call__(self, leaf: Condition) -> Truth:
        result = self._judged.get(leaf.text)
        if result is None:
            result = self._judged[leaf.text] = self._judge(leaf)
        return result

    def _judge(self, leaf: Condition) -> Truth:
        if not self._at_least or not any(name in self._at_least for name in leaf.names):
            return leaf.run(self._known, self._activation)
        bounded = {name: self._at_least[name] for name in leaf.names if name in self._at_least}
        relevant = {name: self._known[name] for name in leaf.names if name in self._known}
        return decide(
            leaf.tree,
            relevant,
            bounded,
            lambda values: leaf.run(values, lambda: self._compiler.activation(values)),
        )

    def _activation(self) -> Any:
        if self._made is None:
            self._made = self._compiler.activation(self._known)
        return self._made


def _fold(tree: Tree, results: Any) -> Truth:
    """Every leaf's result is taken in order, also where an earlier one decides."""
    match tree:
        case AnyOf(parts=parts):
            return truth.any_of([_fold(part, results) for part in parts])
        case AllOf(parts=parts):
            return truth.all_of([_fold(part, results) for part in parts])
        case Not(part=part):
            return truth.negate(_fold(part, results))
        case _:
            taken: Truth = next(results)
            return taken


def _set_aside(judged: list[_Judged], facts: Facts) -> list[_Judged]:
    """Live allow rules that are surely true set aside the rules they name. A rule that names a binding list stays
    while that list has, or may have, a match."""
    allowed: dict[str, str] = {}
    for one in judged:
        if one.live and one.allows and one.result is Truth.TRUE:
            for other in one.compiled.rule.overrides:
                allowed[other] = min(allowed.get(other, one.compiled.rule.id), one.compiled.rule.id)
    return [
        replace(one, overridden_by=allowed.get(one.compiled.rule.id))
        if one.open and not one.allows and not _bound(one.compiled, facts)
        else one
        for one in judged
    ]


def _bound(compiled: CompiledRule, facts: Facts) -> bool:
    return any(facts.known.get(f"keywords.{name}.count") != 0 for name in compiled.binding)


def _conclude(policy: Policy, judged: list[_Judged], seen: Seen) -> Evaluation:
    facts, scores = seen.facts, seen.scores
    deciding = [one for one in judged if one.live and one.open and not one.allows and one.overridden_by is None]
    outcomes = [outcome for one in deciding if (outcome := _asks(policy, one)) is not None]
    degraded = [one for one in judged if one.live and one.result is Truth.UNKNOWN and _matters(one, judged)]
    return Evaluation(
        outcome=max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.PASS),
        degraded=bool(degraded),
        degraded_by=tuple(sorted({line for one in degraded for line in _blame(one, facts)})),
        violations=_violations(policy, deciding, scores),
        scores={name: score.value for name, score in scores.items()},
        rules=tuple(_result(policy, one, facts) for one in judged),
        probes=dict(seen.probes),
        priority=max((_priority(policy, one) for one in deciding), default=Severity.LOW),
    )


def _asks(policy: Policy, one: _Judged) -> Outcome | None:
    """The outcome a rule asks for. An allow rule that is unknown counts as false."""
    rule = one.compiled.rule
    if one.result is Truth.TRUE:
        return rule.then if isinstance(rule.then, Outcome) else Outcome.PASS
    if one.result is Truth.UNKNOWN and not one.allows:
        return rule.on_unknown or policy.defaults.on_unknown
    return None


def _matters(one: _Judged, judged: Iterable[_Judged]) -> bool:
    """An unknown allow rule is missed only where something it names stands."""
    if not one.allows:
        return True
    named = one.compiled.rule.overrides
    return any(other.live and other.open and other.compiled.rule.id in named for other in judged)


def _blame(one: _Judged, facts: Facts) -> set[str]:
    lines = {
        line
        for leaf, result in one.leaves
        if result is Truth.UNKNOWN
        for name in leaf.names
        for line in facts.blame.get(name, ())
    }
    return lines or {f"rules.{one.compiled.rule.id}: evaluation failed"}


def _violations(
    policy: Policy, deciding: Iterable[_Judged], scores: Mapping[str, CategoryScore]
) -> tuple[Violation, ...]:
    """The gravest first."""
    found = []
    for one in deciding:
        rule = one.compiled.rule
        if one.result is not Truth.TRUE or not isinstance(rule.then, Outcome):
            continue
        score = scores.get(rule.category)
        found.append(
            Violation(
                rule=rule.id,
                category=rule.category,
                outcome=rule.then,
                score=score.value if score else None,
                reason=(rule.reason or {}).get(policy.defaults.language, rule.id),
            )
        )
    severity = {name: category.severity for name, category in policy.categories.items()}
    return tuple(sorted(found, key=lambda one: (-one.outcome.severity, -severity[one.category], one.rule)))


def _priority(policy: Policy, one: _Judged) -> Severity:
    rule = one.compiled.rule
    return rule.priority or policy.categories[rule.category].severity


def _result(policy: Policy, one: _Judged, facts: Facts) -> RuleResult:
    return RuleResult(
        id=one.compiled.rule.id,
        mode=one.compiled.rule.mode,
        result=one.result,
        outcome=_asks(policy, one),
        overridden_by=one.overridden_by,
        trace=tuple(
            LeafTrace(condition=leaf.text, values=_seen(policy, leaf, result, facts), result=result)
            for leaf, result in one.leaves
        ),
    )


def _seen(policy: Policy, leaf: Condition, result: Truth, facts: Facts) -> dict[str, bool | int | float | str | None]:
    """The values a condition saw. A bound is shown where it was enough to decide."""
    values: dict[str, bool | int | float | str | None] = {}
    for name in leaf.names:
        if name.startswith("thresholds."):
            values[name] = policy.thresholds[name.removeprefix("thresholds.")]
        elif name in facts.at_least and result is not Truth.UNKNOWN:
            values[name] = facts.at_least[name]
        else:
            values[name] = facts.known.get(name)
    return values
