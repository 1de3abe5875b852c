"""What a policy would have decided: counts, flips by rule, review load, agreement with reviewers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from app.domain import Outcome, StoredDecision, Value
from app.policy.replay import Replayed, Row, replay
from app.policy.rows import ListsOf, RowReader
from app.policy.ruleset import Ruleset
from app.policy.surfaces import place_of

#: Of each rule's flips, this many are named in the report; a listener gets them all.
EXAMPLES = 50
_DAY_S = 86_400.0
_SHORTEST_SPAN_DAYS = 1 / 24


class Flip(Value):
    """A decision that would have been another. `rules` are those that decide it now."""

    decision: str
    before: Outcome
    after: Outcome
    rules: tuple[str, ...] = ()


class RuleFlips(Value):
    """The flips whose new outcome follows from the rule; `rule` is None for what would pass, as no rule asks for
    anything. `counts` are by `pass>reject` and the like."""

    rule: str | None
    counts: dict[str, int]
    examples: tuple[Flip, ...]


class Agreement(Value):
    """Against people's verdicts: of what the policy stopped (review or reject), the share that people rejected
    (`precision`), and of what people rejected the share that it stopped (`recall`); None where there is nothing."""

    verdicts: int
    precision: float | None
    recall: float | None


class Curve(Value):
    """Shares of pass, review and reject while one threshold moves and everything else stays."""

    threshold: str
    values: tuple[float, ...]
    shares: dict[Outcome, tuple[float, ...]]


class Report(Value):
    """`before` and `after` count the same decisions: those that could be replayed. `not_replayable` counts the others,
    `missing` how many of them wanted for what; `unreadable` are stored in a shape that this version does not know."""

    ruleset: str
    since: datetime | None
    until: datetime | None
    decisions: int
    not_replayable: int
    unreadable: int
    missing: dict[str, int]
    before: dict[Outcome, int]
    after: dict[Outcome, int]
    flips: int
    by_rule: tuple[RuleFlips, ...]
    reviews_a_day_before: float | None
    reviews_a_day_after: float | None
    agreement_before: Agreement
    agreement_after: Agreement
    curves: tuple[Curve, ...] = ()


@dataclass(slots=True)
class Tally:
    """What was counted of some decisions; tallies of parts add up to that of the whole."""

    decisions: int = 0
    unreadable: int = 0
    since: datetime | None = None
    until: datetime | None = None
    missing: dict[str, int] = field(default_factory=dict)
    outcomes: dict[tuple[Outcome, Outcome], int] = field(default_factory=dict)
    #: (before, after, verdict) -> decisions that a person judged.
    judged: dict[tuple[Outcome, Outcome, Outcome], int] = field(default_factory=dict)
    flips: list[Flip] = field(default_factory=list)
    curves: dict[tuple[str, float], dict[Outcome, int]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """All but the flips, which are handed on as they come."""
        self.decisions += other.decisions
        self.unreadable += other.unreadable
        self.since = min((one for one in (self.since, other.since) if one is not None), default=None)
        self.until = max((one for one in (self.until, other.until) if one is not None), default=None)
        for name, count in other.missing.items():
            self.missing[name] = self.missing.get(name, 0) + count
        for pair, count in other.outcomes.items():
            self.outcomes[pair] = self.outcomes.get(pair, 0) + count
        for triple, count in other.judged.items():
            self.judged[triple] = self.judged.get(triple, 0) + count
        for point, shares in other.curves.items():
            mine = self.curves.setdefault(point, {})
            for outcome, count in shares.items():
                mine[outcome] = mine.get(outcome, 0) + count


#: Threshold (`reject`, or `surfaces.avatar.thresholds.reject`) -> the values to try.
Sweeps = Mapping[str, Sequence[float]]


def tally(
    ruleset: Ruleset, reader: RowReader, stored: Sequence[StoredDecision], lists_of: ListsOf, sweeps: Sweeps
) -> Tally:
    """Count one chunk of decisions."""
    counted = Tally(decisions=len(stored))
    kept: list[StoredDecision] = []
    rows: list[Row] = []
    for one in stored:
        try:
            rows.append(reader.read(one, lists_of))
        except ValueError:
            counted.unreadable += 1
            continue
        kept.append(one)
    if stored:
        counted.since, counted.until = min(one.at for one in stored), max(one.at for one in stored)
    replayed = replay(ruleset, rows)
    counted.missing = {name: int(lost.sum()) for name, lost in replayed.missing.items()}
    _count(counted, kept, replayed)
    for name, values in sweeps.items():
        for value in values:
            moved = replay(ruleset, rows, thresholds={place_of(name): value})
            shares = np.bincount(moved.severity[moved.replayable], minlength=len(Outcome))
            counted.curves[name, value] = {outcome: int(shares[outcome.severity]) for outcome in Outcome}
    return counted


def _count(counted: Tally, stored: Sequence[StoredDecision], replayed: Replayed) -> None:
    for at, one in enumerate(stored):
        after = replayed.outcome(at)
        if after is None:
            continue
        pair = one.outcome, after
        counted.outcomes[pair] = counted.outcomes.get(pair, 0) + 1
        if one.verdict is not None:
            triple = (*pair, one.verdict)
            counted.judged[triple] = counted.judged.get(triple, 0) + 1
        if one.outcome is not after:
            rules = tuple(rule for rule, rows in replayed.decided_by.items() if rows[at])
            counted.flips.append(Flip(decision=one.id, before=one.outcome, after=after, rules=rules))


class Backtest:
    """Collects the tallies of chunks, in any order, within bounded memory."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._total = Tally()
        self._counts: dict[str | None, dict[str, int]] = {}
        self._examples: dict[str | None, list[Flip]] = {}
        self._flips = 0

    @property
    def decisions(self) -> int:
        return self._total.decisions

    def add(self, part: Tally) -> None:
        self._total.add(part)
        for flip in part.flips:
            self._flips += 1
            for rule in flip.rules or (None,):
                counts = self._counts.setdefault(rule, {})
                kind = f"{flip.before.value}>{flip.after.value}"
                counts[kind] = counts.get(kind, 0) + 1
                examples = self._examples.setdefault(rule, [])
                if len(examples) < EXAMPLES:
                    examples.append(flip)

    def report(self) -> Report:
        total = self._total
        before = {outcome: sum(n for (old, _), n in total.outcomes.items() if old is outcome) for outcome in Outcome}
        after = {outcome: sum(n for (_, new), n in total.outcomes.items() if new is outcome) for outcome in Outcome}
        days = _days(total)
        replayed = sum(total.outcomes.values())
        return Report(
            ruleset=self._ruleset.digest,
            since=total.since,
            until=total.until,
            decisions=total.decisions,
            not_replayable=total.decisions - total.unreadable - replayed,
            unreadable=total.unreadable,
            missing=dict(sorted(total.missing.items())),
            before=before,
            after=after,
            flips=self._flips,
            by_rule=tuple(self._rule_flips()),
            reviews_a_day_before=before[Outcome.REVIEW] / days if days else None,
            reviews_a_day_after=after[Outcome.REVIEW] / days if days else None,
            agreement_before=_agreement([(old, said, n) for (old, _, said), n in total.judged.items()]),
            agreement_after=_agreement([(new, said, n) for (_, new, said), n in total.judged.items()]),
            curves=tuple(_curves(total)),
        )

    def _rule_flips(self) -> Iterator[RuleFlips]:
        for rule in sorted(self._counts, key=lambda rule: -sum(self._counts[rule].values())):
            yield RuleFlips(rule=rule, counts=self._counts[rule], examples=tuple(self._examples[rule]))


def _days(total: Tally) -> float | None:
    """The time between the first and the last decision; None where it is too short to speak of a day."""
    if total.since is None or total.until is None:
        return None
    days = (total.until - total.since).total_seconds() / _DAY_S
    return days if days >= _SHORTEST_SPAN_DAYS else None


def _agreement(judged: Sequence[tuple[Outcome, Outcome, int]]) -> Agreement:
    """`judged` are (the policy's outcome, the person's, how many)."""
    stopped = sum(count for outcome, _, count in judged if outcome is not Outcome.PASS)
    wrong = sum(count for _, verdict, count in judged if verdict is Outcome.REJECT)
    both = sum(count for outcome, verdict, count in judged if outcome is not Outcome.PASS and verdict is Outcome.REJECT)
    return Agreement(
        verdicts=sum(count for _, _, count in judged),
        precision=both / stopped if stopped else None,
        recall=both / wrong if wrong else None,
    )


def _curves(total: Tally) -> Iterator[Curve]:
    for name in sorted({name for name, _ in total.curves}):
        values = tuple(sorted(value for other, value in total.curves if other == name))
        sums = [max(1, sum(total.curves[name, value].values())) for value in values]
        yield Curve(
            threshold=name,
            values=values,
            shares={
                outcome: tuple(
                    total.curves[name, value][outcome] / whole for value, whole in zip(values, sums, strict=True)
                )
                for outcome in Outcome
            },
        )
