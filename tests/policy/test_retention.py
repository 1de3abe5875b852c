"""What a policy says of how long pictures are kept."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from app.domain import Keep, Keeping, Settled
from app.errors import PolicyInvalid
from app.policy.retention import in_words, keeping
from app.policy.ruleset import Ruleset
from app.policy.travel import Unpacker, pack
from tests.policy.build import LISTS, rule, ruleset

_RULE = rule("a", "probes.a.p > 0.5")
_SETTING = Keep(timedelta(hours=24), "PORTCULLIS_KEEP_PASSED_HOURS")


def kept(retention: dict[str, Any] | None = None, **of_categories: float) -> Keeping:
    named = {
        name: {"title": {"en": name}, "severity": "high", "retention_days": of} for name, of in of_categories.items()
    }
    categories = {"goods": {"title": {"en": "Goods"}, "severity": "high"}} | named
    defaults = {} if retention is None else {"retention": retention}
    policy = ruleset(_RULE, defaults=defaults, categories=categories)
    return keeping(policy, passed_if_silent=timedelta(hours=24))


def test_a_silent_policy_leaves_all_to_the_setting() -> None:
    said = kept()

    assert (said.passed, said.reviewed, said.categories) == (_SETTING, _SETTING, {})
    assert said.of(Settled.REJECTED, "goods") == Keep(None, "defaults.retention.rejected_days")
    assert in_words(said) == "passed 24 h (PORTCULLIS_KEEP_PASSED_HOURS), rejected until they are deleted"


def test_the_policy_goes_before_the_setting_and_a_category_before_both() -> None:
    said = kept({"passed_hours": 0, "reviewed_days": 30, "rejected_days": 180}, violence=365, goods=1.5)

    assert said.of(Settled.PASSED, "goods") == Keep(timedelta(0), "defaults.retention.passed_hours")
    assert said.of(Settled.REVIEWED, "goods") == Keep(timedelta(days=30), "defaults.retention.reviewed_days")
    assert said.of(Settled.REJECTED, "goods") == Keep(timedelta(hours=36), "categories.goods.retention_days")
    assert said.of(Settled.REJECTED, "violence").time == timedelta(days=365)
    assert said.of(Settled.REJECTED) == said.of(Settled.REJECTED, "gone since") == said.rejected
    assert said.shortest == timedelta(0)
    assert in_words(said) == (
        "passed 0 h, passed by a person 30 d, rejected 180 d, rejected for goods 36 h, rejected for violence 365 d"
    )


def test_what_a_person_passed_is_kept_as_long_as_other_passes_unless_it_is_said() -> None:
    assert kept({"passed_hours": 72}).reviewed == kept({"passed_hours": 72}).passed


def test_the_longest_that_is_allowed_can_be_counted_back_from_now() -> None:
    said = kept({"passed_hours": 876_000, "rejected_days": 36_500})

    assert said.passed.time == said.rejected.time == timedelta(days=36_500)


@pytest.mark.parametrize("value", [-1, 876_001, float("nan"), float("inf"), "24h", True, [1], {}])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(PolicyInvalid):
        kept({"passed_hours": value})


def test_it_travels_with_the_ruleset() -> None:
    built = ruleset(_RULE, defaults={"retention": {"rejected_days": 7}})
    steps = Unpacker().steps(pack(built), LISTS)
    unpacked = returned(steps)

    assert keeping(unpacked, passed_if_silent=timedelta(1)) == keeping(built, passed_if_silent=timedelta(1))


def returned(steps: Generator[None, None, Ruleset]) -> Ruleset:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            unpacked: Ruleset = done.value
            return unpacked
