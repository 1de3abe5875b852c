"""How an engine process ended: in words, and as one of a few causes that are counted. Pure."""

import signal
from enum import StrEnum


class Death(StrEnum):
    """The label of a metric."""

    #: By SIGKILL: the system, because memory ran out, or a person.
    KILLED = "killed"
    #: By SIGABRT: an assertion of llama.cpp's failed.
    ABORTED = "aborted"
    #: By a signal that the processor raises: it read foreign memory, for instance.
    FAULT = "fault"
    OTHER_SIGNAL = "other_signal"
    #: By itself, with whatever code.
    EXITED = "exited"
    #: Killed by us, because it said nothing.
    HANG = "hang"
    #: Killed by us, because of what it said.
    GARBAGE = "garbage"


_BY_SIGNAL = {
    signal.SIGKILL: Death.KILLED,
    signal.SIGABRT: Death.ABORTED,
    signal.SIGSEGV: Death.FAULT,
    signal.SIGBUS: Death.FAULT,
    signal.SIGILL: Death.FAULT,
    signal.SIGFPE: Death.FAULT,
}


def death_of(code: int | None) -> Death:
    """By the process's return code: below 0 a signal's, None where it closed its pipe and lives on."""
    if code is None or code >= 0:
        return Death.EXITED
    return next((death for number, death in _BY_SIGNAL.items() if number == -code), Death.OTHER_SIGNAL)


def how_it_ended(code: int | None) -> str:
    """Goes on from `the engine process`, such as `was ended by SIGKILL`."""
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
