import signal

import pytest

from app.engine.deaths import Death, death_of, how_it_ended


@pytest.mark.parametrize(
    ("code", "death", "words"),
    [
        (-signal.SIGKILL, Death.KILLED, "was ended by SIGKILL"),
        (-signal.SIGABRT, Death.ABORTED, "was ended by SIGABRT"),
        (-signal.SIGSEGV, Death.FAULT, "was ended by SIGSEGV"),
        (-signal.SIGBUS, Death.FAULT, "was ended by SIGBUS"),
        (-signal.SIGTERM, Death.OTHER_SIGNAL, "was ended by SIGTERM"),
        (-99, Death.OTHER_SIGNAL, "was ended by signal 99"),
        (0, Death.EXITED, "ended with code 0"),
        (3, Death.EXITED, "ended with code 3"),
        (None, Death.EXITED, "closed its pipe"),
    ],
)
def test_the_cause_and_the_words(code: int | None, death: Death, words: str) -> None:
    assert death_of(code) is death
    assert how_it_ended(code) == words
