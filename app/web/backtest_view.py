"""What the page of a backtest shows: bars, tables and curves, computed without the web."""

from dataclasses import dataclass

from app.domain import KeywordList, Outcome
from app.policy.backtest import Curve, Report
from app.policy.backtests import Run
from app.policy.diff import policy_diff
from app.policy.ruleset import Ruleset
from app.policy.surfaces import place_of
from app.web.shares import Part, parts_of

#: Of a curve, about this many values stand in its table.
_TABLE_ROWS = 10


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    outcome: Outcome
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Missing:
    """What was never asked, and how many decisions hang on it."""

    name: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in a square of 100 by 100, as SVG writes its points; `last` is the share at its right end."""

    outcome: Outcome
    points: str
    last: float


@dataclass(frozen=True, slots=True)
class ChartRow:
    value: float
    shares: dict[Outcome, float]


@dataclass(frozen=True, slots=True)
class ChartView:
    """`given` is the policy's own value, `at` where it stands in percent of the width; None where it is outside."""

    place: str
    low: float
    middle: float
    high: float
    lines: tuple[Line, ...]
    rows: tuple[ChartRow, ...]
    given: float | None
    at: float | None


@dataclass(frozen=True, slots=True)
class Counted:
    """The report of a run that is done."""

    report: Report
    replayed: int
    outcomes: tuple[OutcomeRow, ...]
    before: tuple[Part, ...]
    after: tuple[Part, ...]
    missing: tuple[Missing, ...]
    charts: tuple[ChartView, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """`diff` leads from the policy in force to what was tried. `moved_on` says that the policy in force is not the one
    that the edit began with, `lists` name those that are not what they were."""

    run: Run
    in_force: bool
    moved_on: bool
    lists: tuple[str, ...]
    diff: str
    counted: Counted | None


def run_view(run: Run, current: Ruleset) -> RunView:
    return RunView(
        run=run,
        in_force=run.policy_digest == current.policy_digest,
        moved_on=run.asked.base != current.policy_digest,
        lists=_changed(run, current.lists),
        diff=policy_diff(current.source, run.text, before="in force", after="tried"),
        counted=None if run.report is None else _counted(run, run.report),
    )


def _counted(run: Run, report: Report) -> Counted:
    given = {one.place: float(one.value) for one in run.thresholds}
    return Counted(
        report=report,
        replayed=report.decisions - report.not_replayable - report.unreadable,
        outcomes=tuple(OutcomeRow(one, report.before[one], report.after[one]) for one in Outcome),
        before=parts_of(report.before),
        after=parts_of(report.after),
        missing=tuple(Missing(name, count, _why(name)) for name, count in report.missing.items()),
        charts=tuple(_chart(curve, given.get(place_of(curve.threshold))) for curve in report.curves),
    )


def _why(name: str) -> str:
    if name.startswith("scores."):
        return "made of what was not asked then"
    return "not put to the model then" if name.startswith("probes.") else "not read then"


def _changed(run: Run, lists: tuple[KeywordList, ...]) -> tuple[str, ...]:
    now = {one.name: one.digest for one in lists}
    return tuple(sorted(name for name in now.keys() | run.lists.keys() if now.get(name) != run.lists.get(name)))


def _chart(curve: Curve, given: float | None) -> ChartView:
    low, high = curve.values[0], curve.values[-1]
    width = (high - low) or 1.0

    def x(value: float) -> float:
        return 100 * (value - low) / width

    lines = tuple(
        Line(
            outcome,
            " ".join(
                f"{x(value):.2f},{100 * (1 - share):.2f}" for value, share in zip(curve.values, shares, strict=True)
            ),
            shares[-1],
        )
        for outcome, shares in curve.shares.items()
    )
    rows = tuple(
        ChartRow(curve.values[at], {outcome: shares[at] for outcome, shares in curve.shares.items()})
        for at in range(0, len(curve.values), max(1, len(curve.values) // _TABLE_ROWS))
    )
    inside = given is not None and low <= given <= high
    return ChartView(
        place=place_of(curve.threshold),
        low=low,
        middle=(low + high) / 2,
        high=high,
        lines=lines,
        rows=rows,
        given=given if inside else None,
        at=x(given) if given is not None and inside else None,
    )
