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


def test_what_the_operator_says_stands() -> None:
    patience = Patience(0.5, longest_call_s=20.0)
    patience.learn(40.0)

    assert patience.grace_s == 0.5
