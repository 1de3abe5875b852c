from datetime import UTC, datetime, timedelta

import pytest

from app.domain import ComparisonGroup, Outcome
from app.policy.shadow_report import Example, ReviewLoad, shadow_report

PASS, REVIEW, REJECT = Outcome.PASS, Outcome.REVIEW, Outcome.REJECT
AT = datetime(2026, 11, 1, tzinfo=UTC)


def group(
    before: Outcome,
    after: Outcome | None,
    count: int,
    *rules: str,
    fired: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
    whole: bool = True,
    days: float = 0.0,
) -> ComparisonGroup:
    at = AT + timedelta(days=days)
    return ComparisonGroup(
        before, after, rules, fired or rules, missing, whole, count, (f"dec_{before}_{after}",), AT, at
    )


def test_nothing_compared_is_nothing_said() -> None:
    report = shadow_report("sha256:x", [])
    assert (report.compared, report.changed, report.by_rule, report.first_at) == (0, 0, (), None)
    assert report.reviews_a_day == ReviewLoad(before=None, after=None, decisions=0)


def test_what_would_have_changed_is_counted_by_outcome_and_by_rule() -> None:
    report = shadow_report(
        "sha256:x",
        [
            group(PASS, PASS, 90, days=2),
            group(PASS, REVIEW, 6, "r1", fired=("r1", "r2")),
            group(PASS, REJECT, 2, "r2", "r3"),
            group(REJECT, PASS, 1),
            group(REJECT, REJECT, 4, "r2"),
            group(REJECT, REVIEW, 3, "r3"),
            group(PASS, None, 5, fired=("r2",), missing=("probes.b.p",)),
        ],
    )
    assert (report.compared, report.not_comparable, report.missing) == (111, 5, {"probes.b.p": 5})
    assert report.table == {
        PASS: {PASS: 90, REVIEW: 6, REJECT: 2},
        REVIEW: {PASS: 0, REVIEW: 0, REJECT: 0},
        REJECT: {PASS: 1, REVIEW: 3, REJECT: 4},
    }
    assert report.changed == 12
    assert [(one.rule, one.fired, one.changes) for one in report.by_rule] == [
        ("r1", 6, {"pass>review": 6}),
        ("r3", 5, {"pass>reject": 2, "reject>review": 3}),
        ("r2", 17, {"pass>reject": 2}),
        (None, 0, {"reject>pass": 1}),
    ]
    assert report.by_rule[0].examples == (Example(decision="dec_pass_review", before=PASS, after=REVIEW),)


def test_the_review_load_rests_on_the_sample_alone() -> None:
    """Of 1,000 decisions 900 were not asked; those of them that can be compared were rejected anyway."""
    groups = [
        group(PASS, PASS, 80, days=2),
        group(PASS, REVIEW, 10, "r1"),
        group(REVIEW, REVIEW, 10, "r1"),
        group(REJECT, REJECT, 300, "r2", whole=False),
        group(PASS, None, 600, missing=("probes.b.p",), whole=False),
    ]
    load = shadow_report("sha256:x", groups).reviews_a_day
    assert load.decisions == 100
    assert load.before == pytest.approx(50)
    assert load.after == pytest.approx(100)


def test_of_a_moment_no_day_is_made() -> None:
    report = shadow_report("sha256:x", [group(PASS, REVIEW, 6, "r1", days=0.01)])
    assert report.reviews_a_day == ReviewLoad(before=None, after=None, decisions=6)
