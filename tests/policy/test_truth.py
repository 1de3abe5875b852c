import itertools

from hypothesis import given
from hypothesis import strategies as st

from app.domain import Truth
from app.policy import truth

TRUTHS = st.lists(st.sampled_from(Truth), max_size=5)
POSSIBLE = {Truth.TRUE: (True,), Truth.FALSE: (False,), Truth.UNKNOWN: (True, False)}


def every_world(truths: list[Truth]) -> list[tuple[bool, ...]]:
    """What the truths may turn out to be once everything is known."""
    return list(itertools.product(*(POSSIBLE[one] for one in truths)))


def verdict(worlds: set[bool]) -> Truth:
    return Truth.UNKNOWN if len(worlds) == 2 else truth.of(worlds.pop())


@given(TRUTHS)
def test_all_says_what_every_possible_world_agrees_on(truths: list[Truth]) -> None:
    assert truth.all_of(truths) is verdict({all(world) for world in every_world(truths)})


@given(TRUTHS)
def test_any_says_what_every_possible_world_agrees_on(truths: list[Truth]) -> None:
    assert truth.any_of(truths) is verdict({any(world) for world in every_world(truths)})


@given(TRUTHS)
def test_de_morgan(truths: list[Truth]) -> None:
    assert truth.negate(truth.all_of(truths)) is truth.any_of([truth.negate(one) for one in truths])


@given(TRUTHS, st.randoms())
def test_order_means_nothing(truths: list[Truth], random: object) -> None:
    shuffled = sorted(truths, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert truth.all_of(shuffled) is truth.all_of(truths)
    assert truth.any_of(shuffled) is truth.any_of(truths)


@given(st.sampled_from(Truth))
def test_twice_not_is_nothing(one: Truth) -> None:
    assert truth.negate(truth.negate(one)) is one
