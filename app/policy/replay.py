"""Many decisions made again at once: conditions over columns, rules over arrays of truth.

The outcome of each row is exactly what `evaluate` says of it, which a test holds. A row whose outcome hangs on
something that was never asked of its picture has none: it is not replayable, and nothing is guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain import Mode, Outcome
from app.policy.breath import breathe
from app.policy.columns import Leaves, Row
from app.policy.ruleset import AllOf, AnyOf, CompiledRule, Not, Program, Ruleset, Tree
from app.policy.simple import Both

__all__ = ["Replayed", "Row", "replay"]

Bools: TypeAlias = NDArray[np.bool_]

_OUTCOMES = sorted(Outcome, key=lambda outcome: outcome.severity)


@dataclass(frozen=True, slots=True)
class Replayed:
    """`severity` is the outcome's, a row a decision, and means nothing where `replayable` is false; `missing` names,
    for those rows, what was never asked. `decided_by` has, for each rule that decides, the rows where it asks for just
    that outcome, `fired` for each rule the rows where it is true, set aside or not."""

    severity: NDArray[np.int8]
    replayable: Bools
    missing: Mapping[str, Bools]
    decided_by: Mapping[str, Bools]
    fired: Mapping[str, Bools]

    def outcome(self, row: int) -> Outcome | None:
        return _OUTCOMES[self.severity[row]] if self.replayable[row] else None


def replay(ruleset: Ruleset, rows: Sequence[Row], *, thresholds: Mapping[str, int | float] | None = None) -> Replayed:
    """The rows decided by the ruleset, each as its surface has it; `thresholds` replace its own, by the place where
    the policy gives them: `thresholds.<name>`, or `surfaces.<surface>.thresholds.<name>`."""
    if not ruleset.surfaces:
        return _Replay(ruleset, ruleset.program, rows, thresholds or {}).result()
    groups: dict[str | None, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(_program_of(ruleset, row).surface, []).append(at)
    parts = [
        (at, _Replay(ruleset, ruleset.program_for(name), [rows[one] for one in at], thresholds or {}).result())
        for name, at in groups.items()
    ]
    return _joined(parts, len(rows))


def _program_of(ruleset: Ruleset, row: Row) -> Program:
    return ruleset.program_for(row.seen.facts.known.get("context.surface"))


def _joined(parts: Sequence[tuple[list[int], Replayed]], rows: int) -> Replayed:
    """Each part with the numbers that its rows have in the whole."""
    whole = Replayed(np.zeros(rows, np.int8), np.zeros(rows, bool), {}, {}, {})
    by_name: tuple[dict[str, Bools], ...] = ({}, {}, {})
    for at, part in parts:
        whole.severity[at], whole.replayable[at] = part.severity, part.replayable
        for joined, named in zip(by_name, (part.missing, part.decided_by, part.fired), strict=True):
            for name, there in named.items():
                joined.setdefault(name, np.zeros(rows, bool))[at] = there
    return Replayed(whole.severity, whole.replayable, *by_name)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A rule over all rows. `open` where it is true or unknown; `unasked` where it is unknown for want of something
    that was never asked."""

    compiled: CompiledRule
    both: Both
    open: Bools
    unasked: Bools

    @property
    def allows(self) -> bool:
        return bool(self.compiled.rule.overrides)

    @property
    def then(self) -> int:
        then = self.compiled.rule.then
        return then.severity if isinstance(then, Outcome) else 0


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a rule that may decide asks for in each row, the gravest that it could ask for, and where it hangs on what
    was never asked."""

    judged: _Judged
    asks: NDArray[np.int8]
    gravest: int
    hangs: Bools


class _Replay:
    def __init__(
        self, ruleset: Ruleset, program: Program, rows: Sequence[Row], moved: Mapping[str, int | float]
    ) -> None:
        self._program = program
        self._default = ruleset.policy.defaults.on_unknown
        self._rows = rows
        self._thresholds = program.thresholds_with(moved)
        self._leaves = Leaves(program, rows, self._thresholds)
        self._unasked_rows: dict[str, Bools] = {}

    def result(self) -> Replayed:
        live = [self._judge(one) for one in self._program.rules if one.rule.mode is Mode.LIVE]
        set_aside, maybe = self._set_aside(live)
        severity = np.zeros(len(self._rows), np.int8)
        standing: list[_Standing] = []
        for one in live:
            if one.allows:
                continue
            name = one.compiled.rule.id
            stands = one.open & ~set_aside.get(name, self._none)
            on_unknown = (one.compiled.rule.on_unknown or self._default).severity
            asks = np.where(one.both.true, one.then, on_unknown).astype(np.int8)
            asks[~stands | one.unasked] = 0
            severity = np.maximum(severity, asks)
            hangs = stands & (one.unasked | maybe.get(name, self._none))
            standing.append(_Standing(one, asks, max(one.then, on_unknown), hangs))
        fired = {one.compiled.rule.id: one.both.true for one in live if one.both.true.any()}
        return self._conclude(severity, standing, fired)

    @cached_property
    def _none(self) -> Bools:
        return np.zeros(len(self._rows), bool)

    def _conclude(
        self, severity: NDArray[np.int8], standing: Sequence["_Standing"], fired: Mapping[str, Bools]
    ) -> Replayed:
        """A rule that hangs on what was never asked does not matter where its outcome would not be the gravest. One
        that may yet be set aside hangs too, where it is the gravest."""
        lost = self._none.copy()
        missing: dict[str, Bools] = {}
        for one in standing:
            weighs = np.where(one.judged.unasked, one.gravest > severity, (one.asks == severity) & (severity > 0))
            matters = one.hangs & weighs
            if matters.any():
                lost |= matters
                for name in self._unasked_names(one.judged.compiled):
                    rows = matters & self._unasked(name)
                    if rows.any():
                        missing[name] = missing.get(name, self._none) | rows
        decided_by = {
            one.judged.compiled.rule.id: rows
            for one in standing
            if (rows := (one.asks == severity) & (one.asks > 0) & ~lost).any()
        }
        return Replayed(severity, ~lost, missing, decided_by, fired)

    def _set_aside(self, live: Sequence[_Judged]) -> tuple[dict[str, Bools], dict[str, Bools]]:
        """By rule: where an allow rule sets it aside, and where one might that hangs on what was never asked."""
        surely: dict[str, Bools] = {}
        maybe: dict[str, Bools] = {}
        targets = {one.compiled.rule.id: one.compiled for one in live}
        for one in live:
            for name in one.compiled.rule.overrides:
                if name in targets:
                    bound, unclear = self._bound(targets[name])
                    surely[name] = surely.get(name, self._none) | (one.both.true & ~bound)
                    may = (one.unasked & ~bound) | ((one.both.true | one.unasked) & unclear)
                    maybe[name] = maybe.get(name, self._none) | may
        return surely, maybe

    def _bound(self, compiled: CompiledRule) -> tuple[Bools, Bools]:
        """Where a binding list keeps the rule, and where one does only because it was never matched."""
        bound, unclear = self._none, self._none
        for name in compiled.binding:
            count = f"keywords.{name}.count"
            values, known = self._leaves.column(count)
            bound = bound | ~known | (values != 0)
            unclear = unclear | (~known & self._unasked(count))
        return bound, unclear

    def _judge(self, compiled: CompiledRule) -> _Judged:
        breathe()
        both, vain = _fold(compiled.tree, iter([self._leaves.judge(leaf) for leaf in compiled.leaves])), self._none
        if compiled.allows:
            both, vain = self._unless_vain(compiled, both)
        unknown = ~(both.true | both.false)
        unasked = self._none
        if self._rows_with_unasked and unknown.any():
            for leaf in compiled.leaves:
                blank = unknown & ~vain & _blank(self._leaves.judge(leaf))
                if (hangs := unknown & vain).any():
                    blank = blank | (hangs & _blank(self._leaves_there.judge(leaf)))
                for name in leaf.names:
                    unasked = unasked | (blank & self._unasked(name))
        return _Judged(compiled, both, ~both.false, unasked)

    def _unless_vain(self, compiled: CompiledRule, both: Both) -> tuple[Both, Bools]:
        """Where it is true only because of what a text that is not there does not say, as far as is known, and what it
        is there: unknown where it hangs on what is not known, and false elsewhere."""
        absent = [not row.seen.facts.absent.isdisjoint(compiled.names) for row in self._rows]
        allowed = both.true & np.array(absent, bool)
        if not allowed.any():
            return both, self._none
        there = _fold(compiled.tree, iter([self._leaves_there.judge(leaf) for leaf in compiled.leaves]))
        vain = allowed & ~there.true
        hangs = self._none
        for leaf in compiled.leaves:
            unknown = _blank(self._leaves.judge(leaf))
            for name in leaf.names:
                unknown = unknown | ~self._leaves.column(name)[1]
            hangs = hangs | (unknown & _blank(self._leaves_there.judge(leaf)))
        return Both(both.true & ~vain, both.false | (vain & (there.false | ~hangs))), vain

    @cached_property
    def _leaves_there(self) -> Leaves:
        return Leaves(self._program, self._rows, self._thresholds, without_absent=True)

    def _unasked(self, name: str) -> Bools:
        if name not in self._unasked_rows:
            made = self._none.copy()
            made[[at for at in self._rows_with_unasked if name in self._rows[at].unasked]] = True
            self._unasked_rows[name] = made
        return self._unasked_rows[name]

    @cached_property
    def _rows_with_unasked(self) -> list[int]:
        return [at for at, row in enumerate(self._rows) if row.unasked]

    def _unasked_names(self, compiled: CompiledRule) -> frozenset[str]:
        """A rule hangs on its own names, and on those of the allow rules that may set it aside."""
        allowing = [one.names for one in self._program.rules if compiled.rule.id in one.rule.overrides]
        return compiled.names.union(*allowing)


def _blank(both: Both) -> Bools:
    return ~(both.true | both.false)


def _fold(tree: Tree, leaves: Iterator[Both]) -> Both:
    match tree:
        case AnyOf(parts=parts):
            folded = [_fold(part, leaves) for part in parts]
            return Both(
                np.logical_or.reduce([one.true for one in folded]), np.logical_and.reduce([one.false for one in folded])
            )
        case AllOf(parts=parts):
            folded = [_fold(part, leaves) for part in parts]
            return Both(
                np.logical_and.reduce([one.true for one in folded]), np.logical_or.reduce([one.false for one in folded])
            )
        case Not(part=part):
            inner = _fold(part, leaves)
            return Both(inner.false, inner.true)
        case _:
            return next(leaves)
