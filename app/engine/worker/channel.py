"""The pipes of the engine process: a thread reads them, so that what arrives while the model runs is there at the next
step."""

import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.engine.worker.protocol import BrokenFrame, FromEngine, ToEngine, frame, read


@dataclass(frozen=True, slots=True)
class Order:
    """`at`: when it was read, on the monotonic clock."""

    message: ToEngine
    payload: bytes
    at: float


class Channel:
    """The protocol on what were standard input and output. Everything else that writes to standard output, as
    llama.cpp and its libraries do, ends up on standard error."""

    def __init__(self) -> None:
        self._from_client: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
        self._to_client: BinaryIO = os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        self._inbox: queue.SimpleQueue[Order] = queue.SimpleQueue()

    def start(self) -> None:
        threading.Thread(target=self._listen, name="channel", daemon=True).start()

    def next(self) -> Order:
        """The next order. Blocks."""
        return self._inbox.get()

    def arrived(self) -> Iterator[Order]:
        """What is there already."""
        while not self._inbox.empty():
            yield self._inbox.get()

    def send(self, message: FromEngine) -> None:
        self._to_client.write(frame(message))
        self._to_client.flush()

    def _listen(self) -> None:
        """Ends the process, whatever it is doing, when the other side is gone: nobody waits for an answer."""
        try:
            while (order := read(self._from_client)) is not None:
                self._inbox.put(Order(*order, time.monotonic()))
        except (OSError, BrokenFrame) as error:
            sys.stderr.write(f"E the pipe to the engine broke: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(0)
