"""Why an outcome is what it is, as a tree of every rule; and the smallest single change that would have made it
another."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from app.domain import Findings, LeafTrace, Mode, Outcome, Truth, UploadContext
from app.policy.bounds import Number
from app.policy.cel_syntax import Call, Const, Name, Node, Scalar, walk
from app.policy.evaluate import Seen, evaluate, see
from app.policy.facts import Facts
from app.policy.promotion import COMPARISONS
from app.policy.reach import ranges_of
from app.policy.replay import Row, replay
from app.policy.ruleset import AllOf, AnyOf, Not, Program, Ruleset, Tree
from app.policy.schema import Score
from app.policy.scores import add_scores

_MARKS = {Truth.TRUE: "true", Truth.FALSE: "false", Truth.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class Change:
    """`name` would have had to be `to` instead of `value`, and the outcome would have been `outcome`."""

    name: str
    value: Number
    to: Number
    outcome: Outcome

    @property
    def distance(self) -> float:
        """How far it is: in shares of what the number commonly spans, so that a count and a probability compare."""
        span = 1.0 if isinstance(self.value, float) else max(abs(self.value), abs(self.to), 1)
        return abs(self.to - self.value) / span


@dataclass(frozen=True, slots=True)
class Explanation:
    """`lines` are the tree, ready to print. `value_change` and `threshold_change` are the smallest single ones that
    would have given another outcome, None where no single one does."""

    outcome: Outcome
    lines: tuple[str, ...]
    value_change: Change | None
    threshold_change: Change | None


def explain(ruleset: Ruleset, findings: Findings, context: UploadContext, *, model_digest: str | None) -> Explanation:
    evaluation = evaluate(ruleset, findings, context, model_digest=model_digest)
    seen = see(ruleset, findings, context, model_digest=model_digest)
    program = ruleset.program_for(seen.facts.known.get("context.surface"))
    search = _Search(ruleset, program, seen, evaluation.outcome)
    rules = {one.rule.id: one for one in program.rules}
    lines = [*_surface_lines(ruleset, program)]
    for result in evaluation.rules:
        traces = iter(result.trace)
        said = f" → {result.outcome.value}" if result.outcome else ""
        aside = f", set aside by {result.overridden_by}" if result.overridden_by else ""
        mode = "" if result.mode is Mode.LIVE else f" ({result.mode.value})"
        on = f" [on {result.surface}]" if result.surface else ""
        lines.append(f"{result.id}{mode}{on}: {_MARKS[result.result]}{said}{aside}")
        leaves = {id(leaf): trace for leaf, trace in zip(rules[result.id].leaves, traces, strict=True)}
        lines += [
            f"  {line}" for line in _tree(rules[result.id].tree, leaves, _Values(seen.facts, ruleset.policy.scores))
        ]
    return Explanation(
        outcome=evaluation.outcome,
        lines=tuple(lines),
        value_change=search.smallest(thresholds=False),
        threshold_change=search.smallest(thresholds=True),
    )


def _surface_lines(ruleset: Ruleset, program: Program) -> Iterator[str]:
    """What the upload's surface has otherwise than the rest of the platform."""
    if program.surface is None:
        return
    yield f"surface {program.surface}"
    for name in sorted(program.own_thresholds):
        elsewhere = _shown(ruleset.program.thresholds[name])
        yield f"  {name} = {_shown(program.thresholds[name])}, elsewhere {elsewhere}"
    evaluated = {one.rule.id for one in program.rules}
    for one in ruleset.program.rules:
        if one.rule.id not in evaluated:
            yield f"  {one.rule.id}: off"


@dataclass(frozen=True, slots=True)
class _Values:
    """Tells what a condition saw: of a score of several findings, what it is made of too."""

    facts: Facts
    scores: Mapping[str, Score]

    def told(self, name: str, value: Scalar | None) -> Iterator[str]:
        yield f"{name} = {_shown(value)}{self._absent(name)}"
        score = self.scores.get(name.removeprefix("scores.")) if name.startswith("scores.") else None
        if score is not None and len(score.parts) > 1:
            for part in score.parts:
                bound = "at least " if part in self.facts.at_least else ""
                found = self.facts.known.get(part, self.facts.at_least.get(part))
                yield f"  of {part} = {bound}{_shown(found)}{self._absent(part)}"

    def _absent(self, name: str) -> str:
        return " (no text)" if name in self.facts.absent else ""


def _tree(tree: Tree, leaves: Mapping[int, LeafTrace], values: _Values) -> Iterator[str]:
    match tree:
        case AnyOf(parts=parts) | AllOf(parts=parts):
            yield "any of" if isinstance(tree, AnyOf) else "all of"
            for part in parts:
                yield from (f"  {line}" for line in _tree(part, leaves, values))
        case Not(part=part):
            yield "not"
            yield from (f"  {line}" for line in _tree(part, leaves, values))
        case _:
            trace = leaves[id(tree)]
            yield f"{_MARKS[trace.result]:8}{trace.condition}"
            for name, value in trace.values.items():
                yield from (f"{'':8}  {line}" for line in values.told(name, value))


def _shown(value: Scalar | None) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)


class _Search:
    """Tries, one number at a time, the points where some comparison turns."""

    def __init__(self, ruleset: Ruleset, program: Program, seen: Seen, outcome: Outcome) -> None:
        self._ruleset = ruleset
        self._program = program
        self._seen = seen
        self._outcome = outcome
        self._ranges = ranges_of(program.compiler.kinds)

    def smallest(self, *, thresholds: bool) -> Change | None:
        """A threshold is named by the place where the policy gives it: its own one or a surface's."""
        found = [change for name, change in self._tried() if name.startswith("thresholds.") is thresholds]
        return min(found, key=lambda change: (change.distance, change.name), default=None)

    def _tried(self) -> Iterator[tuple[str, Change]]:
        for name, points in self._turns().items():
            value = self._value(name)
            for point in sorted(points):
                if value is None or point == value or not self._possible(name, point):
                    continue
                outcome = self._outcome_with(name, point)
                if outcome is not None and outcome is not self._outcome:
                    yield name, Change(self._program.place(name), value, point, outcome)

    def _outcome_with(self, name: str, value: Number) -> Outcome | None:
        if name.startswith("thresholds."):
            return replay(self._ruleset, [Row(self._seen)], thresholds={self._program.place(name): value}).outcome(0)
        return replay(self._ruleset, [Row(replace(self._seen, facts=self._facts_with(name, value)))]).outcome(0)

    def _facts_with(self, name: str, value: Number) -> Facts:
        """With the scores that the other value would have made."""
        facts = self._seen.facts
        known = {**facts.known, name: value}
        moved = replace(facts, known=known, at_least=dict(facts.at_least), blame=dict(facts.blame))
        scores = self._ruleset.policy.scores
        add_scores(moved, {one: score for one, score in scores.items() if name in score.parts})
        return moved

    def _turns(self) -> dict[str, set[Number]]:
        """For each number that live rules compare, the other side's values, and those just beside them."""
        turns: dict[str, set[Number]] = {}
        for compiled in self._program.rules:
            if compiled.rule.mode is not Mode.LIVE:
                continue
            for leaf in compiled.leaves:
                for node in walk(leaf.tree):
                    if isinstance(node, Call) and node.function in COMPARISONS:
                        left, right = node.args
                        for side, other in ((left, right), (right, left)):
                            name, value = _name(side), self._number(other)
                            if name is not None and value is not None:
                                turns.setdefault(name, set()).update(self._beside(name, value))
        return turns

    def _beside(self, name: str, value: Number) -> set[Number]:
        if isinstance(self._value(name), int):
            return {math.floor(value) + step for step in (-1, 0, 1)} | {math.ceil(value) + 1}
        return {float(value), math.nextafter(value, -math.inf), math.nextafter(value, math.inf)}

    def _number(self, node: Node) -> Number | None:
        match node:
            case Const(value=bool() | str()):
                return None
            case Const(value=int() | float() as value):
                return value
            case Name(name=name):
                return self._value(name)
            case Call(function="double", args=(inner,)):
                return self._number(inner)
            case _:
                return None

    def _value(self, name: str) -> Number | None:
        if name in self._seen.facts.absent:
            return None  # a text that is not there cannot say something else
        value = self._program.thresholds.get(name, self._seen.facts.known.get(name))
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _possible(self, name: str, value: Number) -> bool:
        return name.startswith("thresholds.") or self._ranges[name].holds(value)


def _name(node: Node) -> str | None:
    if isinstance(node, Call) and node.function == "double":
        node = node.args[0]
    return node.name if isinstance(node, Name) else None
