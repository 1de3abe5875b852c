import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.worker.pace import FLAT, Pace, most_for_its_time

#: As measured with a 4B model in Q8_0 on two cores: two tokens cost twice what one does, eight little more than four.
PROCESSOR = Pace(((1, 0.26), (2, 0.53), (4, 0.71), (8, 0.87), (16, 1.41)))
#: A step that is bound by reading the weights.
BANDWIDTH = Pace(((1, 6.0), (2, 6.1), (4, 6.2), (8, 6.5), (16, 7.0)))


@pytest.mark.parametrize(("tokens", "seconds"), [(1, 0.26), (3, 0.62), (8, 0.87), (16, 1.41), (32, 2.49)])
def test_between_and_beyond_what_was_measured(tokens: int, seconds: float) -> None:
    assert PROCESSOR.seconds(tokens) == pytest.approx(seconds)


def test_a_clock_that_errs_makes_no_step_free() -> None:
    assert Pace(((1, 1.0), (8, 0.9), (16, 0.1))).seconds(1000) == 1.0


def test_all_that_may_help_is_read_where_steps_cost_the_same() -> None:
    assert most_for_its_time(1, [0.9, 0.5, 0.01], FLAT) == 3


def test_a_gain_that_may_be_none_is_left() -> None:
    assert most_for_its_time(16, [0.5, 0.5, 0.5], FLAT) == 0
    assert most_for_its_time(16, [0.5, 0.5, 0.5, 0.5], FLAT) == 4


def test_a_doubtful_guess_is_not_worth_a_step_of_twice_the_length() -> None:
    assert most_for_its_time(1, [0.5, 0.4, 0.3, 0.2], PROCESSOR) == 0
    assert most_for_its_time(1, [0.5, 0.4, 0.3, 0.2], BANDWIDTH) == 4


def test_many_sure_ones_are_worth_what_the_first_of_them_is_not() -> None:
    assert most_for_its_time(1, [0.95], PROCESSOR) == 0
    assert most_for_its_time(1, [0.95] * 7, PROCESSOR) == 7


@given(
    tokens=st.integers(1, 32),
    chances=st.lists(st.floats(0.0, 1.0), max_size=20).map(lambda found: sorted(found, reverse=True)),
    seconds=st.lists(st.floats(0.001, 10.0), min_size=5, max_size=5).map(sorted),
)
def test_no_other_number_makes_a_tenth_more_tokens_a_second(
    tokens: int, chances: list[float], seconds: list[float]
) -> None:
    pace = Pace(tuple(zip((1, 2, 4, 8, 16), seconds, strict=True)))

    def rate(count: int) -> float:
        return (tokens + sum(chances[:count])) / pace.seconds(tokens + count)

    chosen = most_for_its_time(tokens, chances, pace)

    most = max(rate(count) for count in range(len(chances) + 1))
    assert rate(chosen) == pytest.approx(most) or (chosen == 0 and most <= 1.1 * rate(0) * (1 + 1e-9))


def test_it_is_weighed_against_steps_of_their_own_where_these_are_quicker() -> None:
    eight_bit = Pace(((1, 3.7), (2, 10.0), (4, 15.5), (8, 16.2), (16, 17.2)))
    chances = [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.06, 0.06]

    assert most_for_its_time(2, chances, eight_bit) > 0
    assert most_for_its_time(2, chances, eight_bit, may_be_apart=True) == 0
    assert most_for_its_time(2, [0.95] * 14, eight_bit, may_be_apart=True) == 14


def test_steps_of_their_own_are_quicker_only_by_a_tenth() -> None:
    eight_bit = Pace(((1, 3.7), (2, 10.0), (4, 15.5), (8, 16.2), (16, 17.2)))

    assert eight_bit.parted([1, 1])
    assert eight_bit.parted([1] * 3)
    assert not eight_bit.parted([1] * 5)
    assert not eight_bit.parted([2])
    assert not PROCESSOR.parted([1, 1])
    assert not FLAT.parted([1, 1])
