"""How many processes `make test` spreads the tests over, and what they begin with."""

import os
from pathlib import Path

import psutil

#: A process with its engines, browser, database and media workers took 1 GB at most; some tests let a process grow.
_WORKER_BYTES = 2 << 30

#: Rooms in which few tests take long: begun last, one of their files would leave the other processes idle at the end.
_LONG = ("demo_model", "service", "web", "engine", "signals")


def workers(cores: int, memory_bytes: int) -> int:
    """As many as there are cores, unless memory holds fewer; at least one."""
    return max(1, min(cores, memory_bytes // _WORKER_BYTES))


def workers_here() -> int:
    return workers(len(os.sched_getaffinity(0)), memory_bytes())


def memory_bytes() -> int:
    """What is free on this machine, or all that the container may have where that is less."""
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(psutil.virtual_memory().available, int(limit.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return psutil.virtual_memory().available


def turn(nodeid: str) -> int:
    """When a test's file is begun: the lower, the earlier."""
    room = nodeid.removeprefix("tests/").partition("/")[0]
    return _LONG.index(room) if room in _LONG else len(_LONG)
