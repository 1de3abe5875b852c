"""Every transition from every state."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain import CaseState, Outcome, ReviewCase, Severity
from app.errors import CaseConflict, CaseNotClaimable, LeaseLost, MalformedRequest
from app.review.case import claim, decide, expire, release, renew

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LEASE_S = 900.0
_OVER = _NOON + timedelta(seconds=_LEASE_S)


def _open() -> ReviewCase:
    return ReviewCase(id="case_1", decision_id="dec_1", priority=Severity.HIGH, opened_at=_NOON)


def _claimed(by: str = "ada") -> ReviewCase:
    return claim(_open(), by, at=_NOON, lease_s=_LEASE_S)


def _lapsed() -> ReviewCase:
    return expire(_claimed(), at=_OVER, lease_s=_LEASE_S)


def _decided() -> ReviewCase:
    return decide(_claimed(), "ada", Outcome.REJECT, "blood", at=_NOON)


def test_a_case_opens_unclaimed() -> None:
    case = _open()

    assert (case.state, case.priority, case.version, case.claimed_by) == (CaseState.OPEN, Severity.HIGH, 0, None)


def test_claiming_gives_a_lease() -> None:
    case = _claimed()

    assert (case.state, case.claimed_by, case.lease_expires_at, case.version) == (CaseState.CLAIMED, "ada", _OVER, 1)


def test_a_claimed_case_is_not_claimable_by_another() -> None:
    with pytest.raises(CaseNotClaimable):
        claim(_claimed(), "bob", at=_OVER - timedelta(microseconds=1), lease_s=_LEASE_S)


def test_claiming_again_renews() -> None:
    again = claim(_claimed(), "ada", at=_NOON + timedelta(minutes=1), lease_s=_LEASE_S)

    assert again.lease_expires_at == _OVER + timedelta(minutes=1)


def test_a_lease_that_is_over_is_claimable_unswept() -> None:
    assert claim(_claimed(), "bob", at=_OVER, lease_s=_LEASE_S).claimed_by == "bob"


def test_a_decided_case_is_not_claimable() -> None:
    with pytest.raises(CaseNotClaimable):
        claim(_decided(), "ada", at=_NOON, lease_s=_LEASE_S)


def test_renewing_counts_from_now() -> None:
    later = _NOON + timedelta(minutes=5)

    assert renew(_claimed(), "ada", at=later, lease_s=_LEASE_S).lease_expires_at == later + timedelta(seconds=_LEASE_S)


def test_releasing_puts_back_for_anyone() -> None:
    case = release(_claimed(), "ada")

    assert (case.state, case.claimed_by, case.lease_expires_at, case.lapsed_from) == (CaseState.OPEN, None, None, None)


def test_a_verdict_ends_the_case() -> None:
    case = _decided()

    assert case.state is CaseState.DECIDED
    assert case.verdict is not None
    assert (case.verdict.outcome, case.verdict.reviewer, case.verdict.note) == (Outcome.REJECT, "ada", "blood")
    assert (case.claimed_by, case.lease_expires_at) == (None, None)


def test_review_is_not_a_verdict() -> None:
    with pytest.raises(MalformedRequest):
        decide(_claimed(), "ada", Outcome.REVIEW, None, at=_NOON)


def test_the_same_verdict_twice_changes_nothing() -> None:
    case = _decided()

    assert decide(case, "ada", Outcome.REJECT, "blood", at=_OVER) is case


@pytest.mark.parametrize(("outcome", "note"), [(Outcome.PASS, "blood"), (Outcome.REJECT, None)])
def test_another_verdict_of_the_same_reviewer_conflicts(outcome: Outcome, note: str | None) -> None:
    with pytest.raises(CaseConflict):
        decide(_decided(), "ada", outcome, note, at=_NOON)


def test_expiry_waits_for_the_lease_and_remembers_whose_it_was() -> None:
    claimed = _claimed()
    early = expire(claimed, at=_OVER - timedelta(microseconds=1), lease_s=_LEASE_S)
    lapsed = expire(claimed, at=_OVER, lease_s=_LEASE_S)

    assert early is claimed
    assert (lapsed.state, lapsed.claimed_by, lapsed.lapsed_from) == (CaseState.OPEN, None, "ada")


@pytest.mark.parametrize("case", [_open(), _lapsed(), _decided()])
def test_only_claimed_cases_expire(case: ReviewCase) -> None:
    assert expire(case, at=_OVER + timedelta(days=1), lease_s=_LEASE_S) is case


@pytest.mark.parametrize("case", [_claimed(), _lapsed()])
def test_a_late_reviewer_may_finish_what_nobody_took(case: ReviewCase) -> None:
    late = _OVER + timedelta(hours=1)

    assert decide(case, "ada", Outcome.PASS, None, at=late).state is CaseState.DECIDED
    assert renew(case, "ada", at=late, lease_s=_LEASE_S).claimed_by == "ada"
    assert release(case, "ada").lapsed_from is None


@pytest.mark.parametrize(
    "case",
    [
        _open(),
        release(_claimed(), "ada"),
        _claimed("bob"),
        claim(_claimed(), "bob", at=_OVER, lease_s=_LEASE_S),
        claim(_lapsed(), "bob", at=_OVER, lease_s=_LEASE_S),
        release(claim(_lapsed(), "bob", at=_OVER, lease_s=_LEASE_S), "bob"),
        decide(_claimed("bob"), "bob", Outcome.PASS, None, at=_NOON),
    ],
)
def test_who_does_not_have_the_case_changes_nothing(case: ReviewCase) -> None:
    with pytest.raises(LeaseLost):
        renew(case, "ada", at=_NOON, lease_s=_LEASE_S)
    with pytest.raises(LeaseLost):
        release(case, "ada")
    with pytest.raises(LeaseLost):
        decide(case, "ada", Outcome.PASS, None, at=_NOON)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (_open(), "it is waiting in the queue: claim it first"),
        (release(_claimed(), "ada"), "it is waiting in the queue: claim it first"),
        (_claimed("bob"), "another reviewer has it"),
        (_decided(), "you decided it"),
        (decide(_claimed("bob"), "bob", Outcome.PASS, None, at=_NOON), "another reviewer decided it"),
    ],
)
def test_who_does_not_have_the_case_is_told_where_it_is(case: ReviewCase, said: str) -> None:
    with pytest.raises(LeaseLost, match=rf"^you do not have case case_1: {said}$"):
        release(case, "ada")


def test_every_change_counts_the_version_up() -> None:
    versions = [_open(), _claimed(), _lapsed(), claim(_lapsed(), "bob", at=_OVER, lease_s=_LEASE_S)]

    assert [case.version for case in versions] == [0, 1, 2, 3]


def test_a_lease_that_was_given_under_a_clock_that_was_ahead_begins_now() -> None:
    """Else a case would stay with somebody who has left for as long as the clock was ahead."""
    for behind in (timedelta(0), timedelta(minutes=1)):
        assert expire(_claimed(), at=_NOON - behind, lease_s=_LEASE_S) == _claimed(), "clocks of nodes differ"
    at = _NOON - timedelta(days=1)
    shortened = expire(_claimed(), at=at, lease_s=_LEASE_S)
    assert (shortened.state, shortened.claimed_by) == (CaseState.CLAIMED, "ada")
    assert shortened.lease_expires_at == at + timedelta(seconds=_LEASE_S)
