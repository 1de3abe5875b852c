from app.engine.patience import Patience


def test_a_quick_process_is_given_five_seconds() -> None:
    assert Patience(None, longest_call_s=0.01).grace_s == 5.0


def test_a_slow_one_is_given_three_of_its_longest_calls() -> None:
    patience = Patience(None, longest_call_s=20.0)
    assert patience.grace_s == 60.0

    patience.learn(5.0)
    assert patience.grace_s == 60.0

    patience.learn(40.0)
    assert patience.grace_s == 120.0


def test_a_machine_that_stood_still_once_does_not_make_it_patient_for_good() -> None:
    """A turn of five minutes, as when a virtual machine was paused, in a process whose turns take 20 ms."""
    patience = Patience(None, longest_call_s=0.02)

    patience.learn(300.0)
    assert patience.grace_s == 180.0

    for _ in range(63):
        patience.learn(0.02)
    assert patience.grace_s == 180.0
    patience.learn(0.02)
    assert patience.grace_s == 5.0


def test_a_process_that_was_slow_from_the_start_gets_all_of_it() -> None:
    patience = Patience(None, longest_call_s=100.0)
    patience.learn(300.0)

    assert patience.grace_s == 300.0


def test_what_the_operator_says_stands() -> None:
    patience = Patience(0.5, longest_call_s=20.0)
    patience.learn(40.0)

    assert patience.grace_s == 0.5


def test_doubt_begins_before_patience_ends_and_not_before_the_longest_call_does() -> None:
    assert Patience(None, longest_call_s=0.01).doubt_s == 2.0
    assert Patience(None, longest_call_s=20.0).doubt_s == 20.0
    assert Patience(0.5, longest_call_s=20.0).doubt_s == 0.5


def test_what_jobs_took_takes_the_place_of_what_was_reckoned_for_the_doubt() -> None:
    patience = Patience(None, longest_call_s=20.0)

    for _ in range(63):
        patience.learn(3.0)
    assert patience.doubt_s == 20.0
    patience.learn(3.0)
    assert patience.doubt_s == 3.0
    assert patience.grace_s == 60.0
