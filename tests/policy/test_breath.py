"""A large list is read in small pieces where uploads share the interpreter, and in one where nobody does."""

import pytest

from app.policy import breath
from app.policy.breath import breathe, considerate
from app.policy.lists import parse_list


class Clock:
    """Time passes only here: `tick` at each look."""

    def __init__(self, tick_s: float) -> None:
        self.rests = 0
        self.looks = 0
        self._tick_s = tick_s

    def perf_counter(self) -> float:
        self.looks += 1
        return self.looks * self._tick_s

    def sleep(self, _: float) -> None:
        self.rests += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(0.0004)
    monkeypatch.setattr(breath, "time", made)
    return made


def words(number: int) -> bytes:
    terms = "\n".join(f"term {at}" for at in range(number))
    return f"---\ncategory: goods\nseverity: high\nlanguages: en\n---\n{terms}\n".encode()


def test_nobody_rests_unasked(clock: Clock) -> None:
    parse_list("words", words(5))
    breathe()
    assert (clock.rests, clock.looks) == (0, 0)


def test_who_works_beside_others_rests_all_along_and_makes_the_same(clock: Clock) -> None:
    made = considerate(parse_list)("words", words(200))
    assert clock.rests > 50
    assert made == parse_list("words", words(200))
    rests = clock.rests
    breathe()
    assert clock.rests == rests, "only while the function runs"


def test_a_function_that_fails_ends_it_too(clock: Clock) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        considerate(fails)()
    breathe()
    assert clock.looks == 1
