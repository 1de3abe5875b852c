import gc
import weakref
from collections.abc import Iterator

import pytest

from app.domain import KeywordList, UploadContext
from app.policy.breath import at_once
from app.policy.evaluate import evaluate
from app.policy.lasting import _THOROUGH_EVERY, Lasting
from app.policy.load import build_ruleset
from app.policy.travel import Unpacker, pack
from tests.policy import build

_POLICY = b"""
version: 1
categories: {goods: {title: {en: Goods}, severity: high}}
thresholds: {high: 0.9}
probes: {a: {category: goods, questions: {en: "a?"}}}
scores: {goods: {max: [probes.a.p]}}
rules:
  - {id: one, category: goods, when: {any: [probes.a.p > 0.5, {not: scores.goods < thresholds.high}]}, then: review,
     reason: {en: One}}
  - {id: two, category: goods, when: size(context.surface) > 3, then: reject, reason: {en: Two}}
surfaces: {chat: {thresholds: {high: 0.8}}}
"""


class Knot:
    """Garbage in a cycle, once nobody has it."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nobody_looks_for_cycles_while_a_ruleset_is_made() -> None:
    with Lasting()():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_goes_wrong_meanwhile_leaves_the_collector_on() -> None:
    with pytest.raises(ValueError, match="oops"), Lasting()():
        raise ValueError("oops")
    assert gc.isenabled()


def test_two_at_once_leave_the_collector_on() -> None:
    one, other = Lasting()(), Lasting()()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_garbage_of_a_moment_ago_is_not_set_aside() -> None:
    gone = weakref.ref(Knot())
    with Lasting()():
        assert gone() is None


def test_what_was_made_is_not_looked_at_again() -> None:
    with Lasting()():
        made = [Knot() for _ in range(1000)]
    assert not {id(one) for one in made} & {id(one) for one in gc.get_objects()}


def test_an_old_ruleset_goes_without_a_look_for_cycles() -> None:
    lists: tuple[KeywordList, ...] = ()
    unpacker, making = Unpacker(), Lasting()
    with making():
        made = at_once(unpacker.steps(pack(build_ruleset(_POLICY, lists)), lists))
    evaluate(made, build.findings(), UploadContext(surface="chat"), model_digest=None)
    old = made
    gone = [weakref.ref(one.rule) for one in old.rules]
    gc.disable()
    try:
        with making():
            made = at_once(unpacker.steps(pack(build_ruleset(_POLICY.replace(b"0.5", b"0.6"), lists)), lists))
        del old, made, unpacker
        assert not [ref for ref in gone if ref() is not None]
    finally:
        gc.enable()


def test_garbage_that_was_set_aside_goes_with_a_thorough_look() -> None:
    making, knot = Lasting(), Knot()
    gone = weakref.ref(knot)
    with making():
        del knot
    gc.collect()
    assert gone() is not None
    for _ in range(_THOROUGH_EVERY - 1):
        with making():
            pass
    assert gone() is None
