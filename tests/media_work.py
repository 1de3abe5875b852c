"""What the tests give to media workers. Functions travel by name, so they live in a module that a worker can import."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from app.errors import PolicyInvalid, PolicyProblem, QueueFull

_warm: list[str] = []


def add(one: int, other: int) -> int:
    return one + other


def pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def mark_and_sleep(path: str, seconds: float) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)


def spin_for_ever() -> NoReturn:
    while True:
        pass


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(3)


def grow(count: int) -> int:
    return len(b"x" * count)


def echo(data: bytes) -> bytes:
    return data


def print_everywhere(count: int) -> str:
    """Through Python and below it, on both streams; more than any pipe holds."""
    print("x" * count)
    print("x" * count, file=sys.stderr)
    os.write(1, b"y" * count)
    os.write(2, b"y" * count)
    ctypes.CDLL(None).puts(b"z" * count)
    ctypes.CDLL(None).fflush(None)
    return "done"


def environment() -> dict[str, str]:
    return dict(os.environ)


def main_module() -> str | None:
    return getattr(sys.modules["__main__"], "__file__", None)


def fail_with_value_error() -> None:
    raise ValueError("three is not two")


def fail_with_queue_full() -> None:
    raise QueueFull("come back", retry_after_s=7)


def fail_with_policy_invalid() -> None:
    raise PolicyInvalid((PolicyProblem("policies.yaml", 3, 5, "no such probe", "did you mean violence?", "  if: x"),))


class UncarriableError(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} {other}")


def fail_uncarriably() -> None:
    raise UncarriableError(1, 2)


def uncarriable_result() -> object:
    return lambda: None


def warm_up() -> None:
    _warm.append("warm")


def is_warm() -> list[str]:
    return _warm


def cannot_warm_up() -> None:
    raise FileNotFoundError("no networks here")
