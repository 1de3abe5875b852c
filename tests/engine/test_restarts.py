from app.engine.restarts import Restarts


def test_a_first_death_is_followed_by_a_start_at_once_and_those_after_it_by_longer_pauses() -> None:
    restarts = Restarts()
    restarts.died()

    assert restarts.pause_s(first_at_once=True) == 0.0
    assert restarts.pause_s(first_at_once=False) == 0.5
    pauses = []
    for _ in range(12):
        restarts.died()
        pauses.append(restarts.pause_s(first_at_once=True))
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[-1] == 10.0


def test_an_answered_job_ends_the_row_of_fruitless_lives_and_not_that_of_failed_starts() -> None:
    restarts = Restarts()
    restarts.died()
    restarts.start_failed()
    restarts.answered()

    assert restarts.pause_s(first_at_once=False) == 0.5


def test_lives_in_a_row_that_answered_nothing_are_fruitless() -> None:
    restarts = Restarts()
    restarts.answered()
    restarts.died()
    assert not restarts.fruitless

    restarts.died()
    assert restarts.fruitless

    restarts.answered()
    assert not restarts.fruitless


def test_three_failed_starts_in_a_row_leave_no_hope_until_one_succeeds() -> None:
    restarts = Restarts()
    restarts.start_failed()
    restarts.start_failed()
    assert not restarts.hopeless

    restarts.start_failed()
    assert restarts.hopeless

    restarts.started()
    assert not restarts.hopeless
