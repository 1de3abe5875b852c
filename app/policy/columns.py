"""Conditions over many decisions at once: columns of what is known, and what each condition comes to in every row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain import Truth
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Condition
from app.policy.evaluate import LeafJudge, Seen
from app.policy.facts import Facts
from app.policy.ruleset import Program
from app.policy.simple import Both
from app.policy.vocabulary import Kind

Bools: TypeAlias = NDArray[np.bool_]

_BLANKS: Mapping[Kind, tuple[Any, Any]] = {
    Kind.BOOL: (False, np.bool_),
    Kind.INT: (0, np.int64),
    Kind.DOUBLE: (0.0, np.float64),
    Kind.STRING: ("", np.object_),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What is seen of one decision, and the names whose values were never asked for."""

    seen: Seen
    unasked: frozenset[str] = frozenset()


class Leaves:
    """What the conditions of a program come to, row by row. With `without_absent`, what speaks of a text that is not
    there is not known."""

    def __init__(
        self,
        program: Program,
        rows: Sequence[Row],
        thresholds: Mapping[str, int | float],
        *,
        without_absent: bool = False,
    ) -> None:
        self._program = program
        self._facts = [row.seen.facts for row in rows]
        self._thresholds = thresholds
        self._known = [_there(facts) if without_absent else facts.known for facts in self._facts]
        self._columns = _Columns(self._known, program.compiler.kinds, thresholds)
        self._judged: dict[str, Both] = {}
        self._judges: dict[int, LeafJudge] = {}

    def column(self, name: str) -> tuple[NDArray[Any], Bools]:
        """The values of a name, and where they are known."""
        return self._columns.column(name)

    def judge(self, leaf: Condition) -> Both:
        if leaf.text not in self._judged:
            self._judged[leaf.text] = self._run(leaf)
        return self._judged[leaf.text]

    def _run(self, leaf: Condition) -> Both:
        """Over columns where it is simple and nothing is only bounded; row by row elsewhere."""
        if leaf.simple is None:
            none = np.zeros(len(self._facts), bool)
            both, slow = Both(none, none.copy()), list(range(len(self._facts)))
        else:
            whole = leaf.simple.run_columns(self._columns)
            both = Both(whole.true.copy(), whole.false.copy())
            slow = [at for at in self._bounded if any(name in self._facts[at].at_least for name in leaf.names)]
        for at in slow:
            result = self._judge_of(at)(leaf)
            both.true[at], both.false[at] = result is Truth.TRUE, result is Truth.FALSE
        return both

    @cached_property
    def _bounded(self) -> list[int]:
        return [at for at, facts in enumerate(self._facts) if facts.at_least]

    def _judge_of(self, at: int) -> LeafJudge:
        judge = self._judges.get(at)
        if judge is None:
            known: dict[str, Scalar] = {**self._known[at], **self._thresholds}
            judge = self._judges[at] = LeafJudge(self._program.compiler, known, self._facts[at].at_least)
        return judge


def _there(facts: Facts) -> Mapping[str, Scalar]:
    return {name: value for name, value in facts.known.items() if name not in facts.absent}


class _Columns:
    """The known facts of the rows, column by column."""

    def __init__(
        self, known: Sequence[Mapping[str, Scalar]], kinds: Mapping[str, Kind], thresholds: Mapping[str, int | float]
    ) -> None:
        self._known = known
        self._kinds = kinds
        self._thresholds = thresholds
        self._made: dict[str, tuple[NDArray[Any], Bools]] = {}
        self.rows = len(known)

    def column(self, name: str) -> tuple[NDArray[Any], Bools]:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> tuple[NDArray[Any], Bools]:
        if name in self._thresholds:
            return np.full(self.rows, self._thresholds[name]), np.ones(self.rows, bool)
        blank, kind = _BLANKS[self._kinds[name]]
        found = [known.get(name) for known in self._known]
        there = np.fromiter((value is not None for value in found), bool, self.rows)
        if not there.all():
            found = [blank if value is None else value for value in found]
        return np.array(found, dtype=kind), there
