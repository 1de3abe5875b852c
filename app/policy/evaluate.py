"""Findings in, evaluation out. Pure: no clock, no I/O; the same ruleset and findings give the same evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from app.domain import (
    Evaluation,
    Findings,
    LeafTrace,
    Outcome,
    RuleResult,
    Severity,
    Statement,
    Truth,
    UploadContext,
    Violation,
)
from app.policy.bounds import decide
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Compiler, Condition
from app.policy.facts import Facts
from app.policy.probe_scores import Scored
from app.policy.ruleset import CompiledRule, Program, Ruleset
from app.policy.schema import Policy, StatementText
from app.policy.scores import CategoryScore, add_scores
from app.policy.simple import TRUTHS
from app.policy.truth import FALSE, TRUE, UNKNOWN


def evaluate(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Evaluation:
    """What the ruleset says of an upload. `model_digest` is the model that answered the probes: a calibration holds
    only for the model it was fitted on."""
    seen = see(ruleset, findings, context, model_digest=model_digest)
    facts = seen.facts
    program = ruleset.program_for(facts.known.get("context.surface"))
    values = {**facts.known, **program.thresholds}
    results = LeafJudge(program.compiler, values, facts.at_least).all(program.leaves)
    judged = _set_aside(_judge_rules(program, facts, values, results), facts)
    traces = _traces(program.leaves, results, values, facts)
    return _conclude(ruleset.policy, program, judged, seen, _results(ruleset.policy, program, judged, facts, traces))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ruleset sees of an upload before any rule is looked at."""

    facts: Facts
    probes: Mapping[str, Scored]
    scores: Mapping[str, CategoryScore]


def see(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Seen:
    probes = ruleset.scorer.scores(findings, model_digest=model_digest, caption=context.caption)
    facts = ruleset.gatherer.gather(findings, context, probes)
    return Seen(facts, probes, add_scores(facts, ruleset.policy.scores))


class _Judged(NamedTuple):
    """A rule and what came of it; `leaves` are the results of its conditions. `vain`: as far as is known, it would
    allow something only because of what a text that is not there does not say."""

    compiled: CompiledRule
    result: Truth
    leaves: tuple[Truth, ...]
    overridden_by: str | None = None
    vain: bool = False

    @property
    def live(self) -> bool:
        return self.compiled.live

    @property
    def allows(self) -> bool:
        return self.compiled.allows


def _judge_rules(
    program: Program, facts: Facts, values: Mapping[str, Scalar], results: Sequence[Truth]
) -> list[_Judged]:
    judged = []
    for compiled, pick in zip(program.rules, program.pickers, strict=True):
        leaves = pick(results)
        judged.append(_Judged(compiled, compiled.fold(leaves), leaves))
    return [_unless_vain(one, program, facts, values) for one in judged] if facts.absent else judged


def _unless_vain(one: _Judged, program: Program, facts: Facts, values: Mapping[str, Scalar]) -> _Judged:
    """An allow rule that is true whatever a text would say stays true. Where that hangs on what is not known it is
    unknown; no text could change what is left, which is false."""
    if not one.allows or one.result is not TRUE or facts.absent.isdisjoint(one.compiled.names):
        return one
    leaves = LeafJudge(program.compiler, _there(values, facts), facts.at_least).all(one.compiled.leaves)
    result = one.compiled.fold(leaves)
    if result is TRUE:
        return one
    hangs = any(
        there is UNKNOWN and (before is UNKNOWN or any(name not in values for name in leaf.names))
        for leaf, before, there in zip(one.compiled.leaves, one.leaves, leaves, strict=True)
    )
    return one._replace(result=result if hangs else FALSE, leaves=leaves, vain=True)


class LeafJudge:
    """Evaluates conditions over the facts of one upload."""

    def __init__(self, compiler: Compiler, known: Mapping[str, Any], at_least: Mapping[str, int | float]) -> None:
        self._compiler = compiler
        self._known = known
        self._at_least = at_least
        self._made: Any = None

    def __call__(self, leaf: Condition) -> Truth:
        return self.all((leaf,))[0]

    def all(self, leaves: Iterable[Condition]) -> tuple[Truth, ...]:
        if self._at_least:
            return tuple([self._judge(leaf) for leaf in leaves])
        known, judge = self._known, self._judge
        return tuple(
            [
                judge(leaf) if (simple := leaf.simple) is None else TRUTHS[simple.run(known)]  # by far the most common
                for leaf in leaves
            ]
        )

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


def _set_aside(judged: list[_Judged], facts: Facts) -> list[_Judged]:
    """Live allow rules that are surely true set aside the rules they name. A rule that names a binding list stays
    while that list has, or may have, a match."""
    allowed: dict[str, str] = {}
    for one in judged:
        if one.result is TRUE and one.allows and one.live:
            for other in one.compiled.rule.overrides:
                allowed[other] = min(allowed.get(other, one.compiled.id), one.compiled.id)
    if not allowed:
        return judged
    return [
        one._replace(overridden_by=allowed.get(one.compiled.id))
        if one.result is not FALSE and not one.allows and not _bound(one.compiled, facts)
        else one
        for one in judged
    ]


def _bound(compiled: CompiledRule, facts: Facts) -> bool:
    return any(facts.known.get(f"keywords.{name}.count") != 0 for name in compiled.binding)


def _conclude(
    policy: Policy, program: Program, judged: Iterable[_Judged], seen: Seen, rules: tuple[RuleResult, ...]
) -> Evaluation:
    facts, scores = seen.facts, seen.scores
    open_ = [one for one in judged if one.result is not FALSE and one.live]  # they have a say
    deciding = [one for one in open_ if not one.allows and one.overridden_by is None]
    outcomes = [outcome for one in deciding if (outcome := _asks(policy, one)) is not None]
    degraded = [one for one in open_ if one.result is UNKNOWN and _matters(one, open_)]
    outcome = max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.PASS)
    return Evaluation.unchecked(
        {
            "outcome": outcome,
            "degraded": bool(degraded),
            "degraded_by": tuple(sorted({line for one in degraded for line in _blame(one, facts)})),
            "violations": _violations(policy, deciding, scores, automated=outcome is Outcome.REJECT),
            "scores": {name: score.value for name, score in scores.items()},
            "rules": rules,
            "probes": {name: probe.published() for name, probe in seen.probes.items()},
            "priority": max((_priority(policy, one) for one in deciding), default=Severity.LOW),
            "surface": program.surface,
        }
    )


def _asks(policy: Policy, one: _Judged) -> Outcome | None:
    """The outcome a rule asks for. An allow rule that is unknown counts as false."""
    if one.result is FALSE:
        return None
    rule = one.compiled.rule
    if one.result is TRUE:
        return rule.then if isinstance(rule.then, Outcome) else Outcome.PASS
    return None if one.allows else rule.on_unknown or policy.defaults.on_unknown


def _matters(one: _Judged, others: Iterable[_Judged]) -> bool:
    """An unknown allow rule is missed only where something it names stands. `others` are those that have a say."""
    if not one.allows:
        return True
    named = one.compiled.rule.overrides
    return any(other.compiled.id in named for other in others)


def _blame(one: _Judged, facts: Facts) -> set[str]:
    lines = {
        line
        for leaf, result in zip(one.compiled.leaves, one.leaves, strict=True)
        if result is UNKNOWN
        for name in leaf.names
        for line in facts.blame.get(name, ())
    }
    return lines or {f"rules.{one.compiled.id}: evaluation failed"}


def _violations(
    policy: Policy, deciding: Iterable[_Judged], scores: Mapping[str, CategoryScore], *, automated: bool
) -> tuple[Violation, ...]:
    """The gravest first."""
    found = []
    for one in deciding:
        rule = one.compiled.rule
        if one.result is not TRUE or not isinstance(rule.then, Outcome):
            continue
        score, reasons = scores.get(rule.category), rule.reason or {}
        violation = Violation(
            rule=rule.id,
            category=rule.category,
            outcome=rule.then,
            score=score.value if score else None,
            reason=reasons.get(policy.defaults.language, rule.id),
            reasons=dict(reasons),
            statement=_statement(rule.statement, automated=automated),
        )
        found.append((-rule.then.severity, -policy.categories[rule.category].severity, rule.id, violation))
    return tuple(violation for *_, violation in sorted(found, key=itemgetter(0, 1, 2)))


def _statement(text: StatementText | None, *, automated: bool) -> Statement | None:
    if text is None:
        return None
    return Statement(
        ground=text.ground, clause=text.clause, facts=dict(text.facts), redress=text.redress, automated=automated
    )


def _priority(policy: Policy, one: _Judged) -> Severity:
    rule = one.compiled.rule
    return rule.priority or policy.categories[rule.category].severity


def _results(
    policy: Policy, program: Program, judged: Iterable[_Judged], facts: Facts, traces: Sequence[LeafTrace]
) -> tuple[RuleResult, ...]:
    """`traces` are those of the program's conditions: one that several rules share has one."""
    make = RuleResult.unchecked
    return tuple(
        [
            make(
                {
                    "id": compiled.id,
                    "mode": compiled.mode,
                    "result": one.result,
                    "outcome": _asks(policy, one),
                    "overridden_by": one.overridden_by,
                    "surface": compiled.surface,
                    "trace": pick(traces) if not one.vain else _traces_there(one, program, facts),
                }
            )
            for one, pick in zip(judged, program.pickers, strict=True)
            for compiled in (one.compiled,)
        ]
    )


def _traces_there(one: _Judged, program: Program, facts: Facts) -> tuple[LeafTrace, ...]:
    """Of a rule that is judged by what is there alone."""
    there = _there({**facts.known, **program.thresholds}, facts)
    return tuple(_traces(one.compiled.leaves, one.leaves, there, facts))


def _there(values: Mapping[str, Scalar], facts: Facts) -> dict[str, Scalar]:
    return {name: value for name, value in values.items() if name not in facts.absent}


def _traces(
    leaves: Sequence[Condition], results: Sequence[Truth], values: Mapping[str, Scalar], facts: Facts
) -> list[LeafTrace]:
    """With the values that each condition saw. A bound is shown where it was enough to decide."""
    make, at_least, traces = LeafTrace.unchecked, facts.at_least, []
    for leaf, result in zip(leaves, results, strict=True):
        shown = {name: values.get(name) for name in leaf.names}
        if at_least and result is not UNKNOWN:
            shown |= {name: at_least[name] for name in leaf.names if name in at_least}
        traces.append(make({"condition": leaf.text, "values": shown, "result": result}))
    return traces
