"""What is made of a clock that is set: forward, back, or by a machine that slept."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from app.jobs.steady import STEADY_AFTER_S, SteadyClock
from tests.jobs.conftest import Clock


class Time:
    """Time itself, and a wall clock that shows it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passed_s = 1e6
        self.steady = SteadyClock(clock, monotonic=lambda: self._passed_s)

    def goes_on(self, seconds: float, *, shown_s: float | None = None) -> None:
        self._passed_s += seconds
        self._clock.forward(timedelta(seconds=seconds if shown_s is None else shown_s))

    def is_set(self, by_s: float) -> None:
        self._clock.forward(timedelta(seconds=by_s))


@pytest.fixture
def time(clock: Clock) -> Time:
    return Time(clock)


def test_a_clock_is_believed_an_hour_after_the_start(time: Time) -> None:
    assert not time.steady.is_steady()
    time.goes_on(STEADY_AFTER_S - 1)
    assert not time.steady.is_steady()
    time.goes_on(1)
    assert (time.steady.is_steady(), time.steady.steps()) == (True, 0)


@pytest.mark.parametrize("by_s", [86_400.0, -3600.0, 31.0, -31.0])
def test_one_that_is_set_is_not_believed_for_an_hour(time: Time, by_s: float) -> None:
    time.goes_on(STEADY_AFTER_S)
    time.is_set(by_s)
    with capture_logs() as logs:
        assert not time.steady.is_steady()
    assert [(one["action"], one["by_s"]) for one in logs] == [("clock_set", by_s)]
    time.goes_on(STEADY_AFTER_S / 2)
    time.is_set(-by_s)
    time.goes_on(STEADY_AFTER_S / 2)
    assert not time.steady.is_steady()
    time.goes_on(STEADY_AFTER_S)
    assert (time.steady.is_steady(), time.steady.steps()) == (True, 2)


def test_one_that_is_adjusted_is(time: Time) -> None:
    for _ in range(24 * 12):
        time.goes_on(300, shown_s=300 * 1.0005)
        time.steady.steps()
    assert (time.steady.is_steady(), time.steady.steps()) == (True, 0)


def test_a_machine_that_slept_looks_set(time: Time) -> None:
    time.goes_on(STEADY_AFTER_S)
    time.goes_on(0, shown_s=8 * 3600)
    assert not time.steady.is_steady()
