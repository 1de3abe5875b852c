"""How little bulk jobs do while synchronous ones are in work, and that it is never nothing."""

from hypothesis import given
from hypothesis import strategies as st

from app.engine.worker.yielding import Yielding

STEPS = st.lists(st.tuples(st.integers(0, 512), st.integers(0, 3)), max_size=200)


@given(steps=STEPS)
def test_they_read_an_eighth_of_what_the_others_do_and_two_tokens_a_step_at_most(steps: list[tuple[int, int]]) -> None:
    yielding, urgent, bulk = Yielding(), 0, 0
    for tokens, wanted in steps:
        urgent += tokens
        read = min(wanted, yielding.tokens(tokens))
        yielding.read(read)
        bulk += read
        assert read <= 2
        assert bulk <= urgent / 8


def test_one_answer_that_grows_takes_another_along_in_every_eighth_step() -> None:
    yielding, along = Yielding(), []
    for _ in range(24):
        along.append(yielding.tokens(1))
        yielding.read(along[-1])

    assert along == [0, 0, 0, 0, 0, 0, 0, 1] * 3


@given(steps=st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.001, 1.0)), min_size=1, max_size=50))
def test_their_pictures_take_a_sixteenth_of_the_time(steps: list[tuple[float, float]]) -> None:
    """Whenever it is asked, and however long each step is."""
    yielding, now = Yielding(), 0.0
    worked: list[float] = []
    first = None
    for pause, length in steps:
        now += pause
        if yielding.rests(now):
            continue
        first = now if first is None else first
        # What came before a step has been rested for.
        assert sum(worked) <= (now - first) / 16 + 1e-6
        yielding.worked(now, now + length)
        worked.append(length)
        now += length


def test_a_short_step_does_not_end_the_rest_after_a_long_one() -> None:
    yielding = Yielding()
    yielding.worked(0.0, 1.0)
    yielding.worked(1.0, 1.001)

    assert yielding.rests(15.9)
    assert not yielding.rests(16.0)
