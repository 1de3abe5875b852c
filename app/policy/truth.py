"""Kleene's three-valued logic."""

from collections.abc import Iterable

from app.domain import Truth

#: To ask the enumeration for a member takes as long as all the rest of what is done here.
TRUE, FALSE, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


def of(value: bool) -> Truth:
    return TRUE if value else FALSE


def all_of(truths: Iterable[Truth]) -> Truth:
    result = TRUE
    for truth in truths:  # identity: enumeration members hash slowly
        if truth is FALSE:
            return truth
        if truth is UNKNOWN:
            result = truth
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    result = FALSE
    for truth in truths:
        if truth is TRUE:
            return truth
        if truth is UNKNOWN:
            result = truth
    return result


def negate(truth: Truth) -> Truth:
    if truth is UNKNOWN:
        return truth
    return FALSE if truth is TRUE else TRUE
