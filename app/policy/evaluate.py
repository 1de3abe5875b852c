"""Findings in, evaluation out. Pure: no clock, no I/O; the same ruleset and findings give the same evaluation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.domain import (
    Evaluation,
    Findings,
    LeafTrace,
    Outcome,
    ProbeScore,
    RuleResult,
    Severity,
    Statement,
    Truth,
    UploadContext,
    Violation,
)
from app.policy.bounds import Number, decide
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Compiler, Condition
from app.policy.facts import Facts, gather
from app.policy.probe_scores import score_probes
from app.policy.ruleset import CompiledRule, Program, Ruleset
from app.policy.schema import Policy, StatementText
from app.policy.scores import CategoryScore, add_scores


def evaluate(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Evaluation:
    """What the ruleset says of an upload. `model_digest` is the model that answered the probes: a calibration holds
    only for the model it was fitted on."""
    seen = see(ruleset, findings, context, model_digest=model_digest)
    program = ruleset.program_for(seen.facts.known.get("context.surface"))
    judged = _set_aside(_judge_rules(program, seen.facts), seen.facts)
    return _conclude(ruleset.policy, program, judged, seen)


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
        caption=context.caption,
    )
    facts = gather(findings, context, needs=ruleset.needs, probes=probes)
    return Seen(facts, probes, add_scores(facts, policy.scores))


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

    @property
    def open(self) -> bool:
        """True or unknown: it has a say."""
        return self.result is not Truth.FALSE


def _judge_rules(program: Program, facts: Facts) -> list[_Judged]:
    known = {**facts.known, **program.thresholds}
    judge = LeafJudge(program.compiler, known, facts.at_least)
    judged = []
    for compiled in program.rules:
        results = judge.all(compiled.leaves)
        judged.append(_Judged(compiled, compiled.fold(results), results))
    return [_unless_vain(one, program, facts) for one in judged] if facts.absent else judged


def _unless_vain(one: _Judged, program: Program, facts: Facts) -> _Judged:
    """An allow rule that is true whatever a text would say stays true. Where that hangs on what is not known it is
    unknown; no text could change what is left, which is false."""
    if not one.allows or one.result is not Truth.TRUE or facts.absent.isdisjoint(one.compiled.names):
        return one
    known = {**facts.known, **program.thresholds}
    leaves = LeafJudge(program.compiler, _there(known, facts), facts.at_least).all(one.compiled.leaves)
    result = one.compiled.fold(leaves)
    if result is Truth.TRUE:
        return one
    hangs = any(
        there is Truth.UNKNOWN and (before is Truth.UNKNOWN or any(name not in known for name in leaf.names))
        for leaf, before, there in zip(one.compiled.leaves, one.leaves, leaves, strict=True)
    )
    return one._replace(result=result if hangs else Truth.FALSE, leaves=leaves, vain=True)


class LeafJudge:
    """Evaluates conditions over the facts of one upload."""

    def __init__(self, compiler: Compiler, known: Mapping[str, Any], at_least: Mapping[str, int | float]) -> None:
        self._compiler = compiler
        self._known = known
        self._at_least = at_least
        self._made: Any = None
        self._judged: dict[str, Truth] = {}

    def __call__(self, leaf: Condition) -> Truth:
        return self.all((leaf,))[0]

    def all(self, leaves: Iterable[Condition]) -> tuple[Truth, ...]:
        judged, known, exact = self._judged, self._known, not self._at_least
        results = []
        for leaf in leaves:
            result = judged.get(leaf.text)
            if result is None:
                plain = leaf.simple if exact else None  # by far the most common
                result = self._judge(leaf) if plain is None else plain.judge(known)
                judged[leaf.text] = result
            results.append(result)
        return tuple(results)

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
        if one.live and one.allows and one.result is Truth.TRUE:
            for other in one.compiled.rule.overrides:
                allowed[other] = min(allowed.get(other, one.compiled.rule.id), one.compiled.rule.id)
    if not allowed:
        return judged
    return [
        one._replace(overridden_by=allowed.get(one.compiled.rule.id))
        if one.open and not one.allows and not _bound(one.compiled, facts)
        else one
        for one in judged
    ]


def _bound(compiled: CompiledRule, facts: Facts) -> bool:
    return any(facts.known.get(f"keywords.{name}.count") != 0 for name in compiled.binding)


def _conclude(policy: Policy, program: Program, judged: list[_Judged], seen: Seen) -> Evaluation:
    facts, scores = seen.facts, seen.scores
    deciding = [one for one in judged if one.live and one.open and not one.allows and one.overridden_by is None]
    outcomes = [outcome for one in deciding if (outcome := _asks(policy, one)) is not None]
    degraded = [one for one in judged if one.live and one.result is Truth.UNKNOWN and _matters(one, judged)]
    outcome = max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.PASS)
    return Evaluation(
        outcome=outcome,
        degraded=bool(degraded),
        degraded_by=tuple(sorted({line for one in degraded for line in _blame(one, facts)})),
        violations=_violations(policy, deciding, scores, automated=outcome is Outcome.REJECT),
        scores={name: score.value for name, score in scores.items()},
        rules=_results(policy, program, judged, facts),
        probes=dict(seen.probes),
        priority=max((_priority(policy, one) for one in deciding), default=Severity.LOW),
        surface=program.surface,
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
        for leaf, result in zip(one.compiled.leaves, one.leaves, strict=True)
        if result is Truth.UNKNOWN
        for name in leaf.names
        for line in facts.blame.get(name, ())
    }
    return lines or {f"rules.{one.compiled.rule.id}: evaluation failed"}


def _violations(
    policy: Policy, deciding: Iterable[_Judged], scores: Mapping[str, CategoryScore], *, automated: bool
) -> tuple[Violation, ...]:
    """The gravest first."""
    found = []
    for one in deciding:
        rule = one.compiled.rule
        if one.result is not Truth.TRUE or not isinstance(rule.then, Outcome):
            continue
        score, reasons = scores.get(rule.category), rule.reason or {}
        found.append(
            Violation(
                rule=rule.id,
                category=rule.category,
                outcome=rule.then,
                score=score.value if score else None,
                reason=reasons.get(policy.defaults.language, rule.id),
                reasons=dict(reasons),
                statement=_statement(rule.statement, automated=automated),
            )
        )
    severity = {name: category.severity for name, category in policy.categories.items()}
    return tuple(sorted(found, key=lambda one: (-one.outcome.severity, -severity[one.category], one.rule)))


def _statement(text: StatementText | None, *, automated: bool) -> Statement | None:
    if text is None:
        return None
    return Statement(
        ground=text.ground, clause=text.clause, facts=dict(text.facts), redress=text.redress, automated=automated
    )


def _priority(policy: Policy, one: _Judged) -> Severity:
    rule = one.compiled.rule
    return rule.priority or policy.categories[rule.category].severity


def _results(policy: Policy, program: Program, judged: Iterable[_Judged], facts: Facts) -> tuple[RuleResult, ...]:
    """A condition that several rules share has one trace."""
    seen: dict[str, LeafTrace] = {}
    shown = {**facts.known, **program.thresholds}
    results = []
    for one in judged:
        trace = []
        for leaf, result in zip(one.compiled.leaves, one.leaves, strict=True):
            made = None if one.vain else seen.get(leaf.text)
            if made is None:
                made = _trace(leaf, result, _there(shown, facts) if one.vain else shown, facts.at_least)
            if not one.vain:
                seen[leaf.text] = made
            trace.append(made)
        results.append(
            RuleResult.unchecked(
                {
                    "id": one.compiled.rule.id,
                    "mode": one.compiled.rule.mode,
                    "result": one.result,
                    "outcome": _asks(policy, one),
                    "overridden_by": one.overridden_by,
                    "surface": one.compiled.surface,
                    "trace": tuple(trace),
                }
            )
        )
    return tuple(results)


def _there(shown: Mapping[str, Scalar], facts: Facts) -> dict[str, Scalar]:
    return {name: value for name, value in shown.items() if name not in facts.absent}


def _trace(leaf: Condition, result: Truth, shown: Mapping[str, Scalar], at_least: Mapping[str, Number]) -> LeafTrace:
    """With the values that the condition saw. A bound is shown where it was enough to decide."""
    values = {name: shown.get(name) for name in leaf.names}
    if at_least and result is not Truth.UNKNOWN:
        values |= {name: at_least[name] for name in leaf.names if name in at_least}
    return LeafTrace.unchecked({"condition": leaf.text, "values": values, "result": result})
