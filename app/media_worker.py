"""The process behind `app.media_pool`: runs what it is sent, one call at a time, until its pool goes away.

Run as `python -m app.media_worker PARENT_PID MEMORY_BYTES`. Messages go out and back behind an 8-byte big-endian
length. The first one in is a pickled tuple of warm-up functions, every later one a pickled `(function, args)`; each is
answered with one byte of `Reply` and a pickle. Only the standard library is imported here, so that nothing is loaded
that a function did not ask for.
"""

import ctypes
import os
import pickle
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import BinaryIO

HEADER = struct.Struct(">Q")

_PR_SET_PDEATHSIG = 1


class Reply(Enum):
    """`OPAQUE` is an exception that cannot be carried between processes; its value is a sentence about it."""

    RESULT = b"R"
    EXCEPTION = b"E"
    OPAQUE = b"O"
    OUT_OF_MEMORY = b"M"


def main(parent_pid: int, memory_bytes: int) -> None:
    _die_with(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(memory_bytes)
    requests, replies = _take_over_pipes()
    _answer(replies, _warm_up, _receive(requests))
    _silence()
    while True:
        try:
            message = _receive(requests)
        except EOFError:
            return
        if not _answer(replies, _call, message):
            return


def _die_with(parent_pid: int) -> None:
    """A worker in the middle of a runaway picture reads no pipe, so the kernel has to tell it that the pool is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit


def _limit_memory(memory_bytes: int) -> None:
    """No core files either: they would hold people's pictures."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = used + memory_bytes if hard == resource.RLIM_INFINITY else min(hard, used + memory_bytes)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes move to descriptors of their own, so that nothing a library prints can end up among the replies."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    _point_at_nothing(0)
    os.dup2(2, 1)
    return requests, replies


def _silence() -> None:
    """Until it is ready a worker may say on stderr why it cannot start; from then on, what libraries print about
    pictures goes nowhere."""
    _point_at_nothing(1, 2)


def _point_at_nothing(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _receive(requests: BinaryIO) -> bytes:
    header = requests.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (length,) = HEADER.unpack(header)
    message = requests.read(length)
    if len(message) < length:
        raise EOFError
    return message


def _warm_up(message: bytes) -> None:
    for function in pickle.loads(message):  # noqa: S301 -- written by the parent process
        function()


def _call(message: bytes) -> object:
    function, args = pickle.loads(message)  # noqa: S301 -- written by the parent process
    result: object = function(*args)
    return result


def _answer(replies: BinaryIO, function: Callable[[bytes], object], message: bytes) -> bool:
    """Whether this process is fit for another call: not after it ran out of memory."""
    reply: bytes | None = None
    try:
        reply = _pack(Reply.RESULT, function(message))
    except MemoryError:
        pass  # said below, where the exception no longer holds on to what took the memory
    except Exception as error:
        reply = _pack_exception(error)
    fit = reply is not None
    reply = reply or _OUT_OF_MEMORY
    replies.write(HEADER.pack(len(reply)))
    replies.write(reply)
    replies.flush()
    return fit


def _pack(kind: Reply, value: object) -> bytes:
    return kind.value + pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


_OUT_OF_MEMORY = _pack(Reply.OUT_OF_MEMORY, None)


def _pack_exception(error: Exception) -> bytes:
    """With the traceback as a note, because a pickled exception loses it."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        packed = pickle.dumps(error, protocol=pickle.HIGHEST_PROTOCOL)
        pickle.loads(packed)  # noqa: S301 -- packed in the line above; the parent must be able to do the same
    except Exception:
        return _pack(Reply.OPAQUE, f"{type(error).__module__}.{type(error).__qualname__}")
    return Reply.EXCEPTION.value + packed


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
