"""Errors cross process borders (media workers, the engine), so each must survive pickling with all it carries."""

import pickle
from collections.abc import Iterator

import pytest

from app.errors import (
    EngineCrashed,
    PolicyInvalid,
    PolicyProblem,
    PolicyTestsFailed,
    PortcullisError,
    Unavailable,
    WorkerTimeout,
)


def tree(root: type[PortcullisError]) -> Iterator[type[PortcullisError]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


def example(error: type[PortcullisError]) -> PortcullisError:
    if issubclass(error, PolicyInvalid | PolicyTestsFailed):
        return error((PolicyProblem("a.yaml", 1, 2, "wrong", "right", "text"), PolicyProblem("b.yaml", 3, 4, "bad")))
    if issubclass(error, Unavailable):
        return error("busy", retry_after_s=9)
    if issubclass(error, WorkerTimeout):
        return error("slow", ran_s=1.5)
    if issubclass(error, EngineCrashed):
        return error("gone", cause="hang")
    return error("a sentence for people")


@pytest.mark.parametrize("error", list(tree(PortcullisError)), ids=lambda error: error.__name__)
def test_an_error_travels_whole(error: type[PortcullisError]) -> None:
    sent = example(error)
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301 -- our own
    assert type(received) is error
    assert str(received) == str(sent)
    assert vars(received) == vars(sent)
    assert received.code == sent.code
