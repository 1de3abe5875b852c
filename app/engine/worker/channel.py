"""The pipes of the engine process: a thread reads them, so that a cancellation is heard while the model runs."""

import os
import queue
import sys
import threading
from typing import BinaryIO

from app.engine.worker.protocol import Ask, BrokenFrame, Cancel, FromEngine, Load, ToEngine, frame, read

Inbox = queue.SimpleQueue[tuple[ToEngine, bytes]]


class Channel:
    """The protocol on what were standard input and output. Everything else that writes to standard output, as
    llama.cpp and its libraries do, ends up on standard error."""

    def __init__(self) -> None:
        self._from_client: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
        self._to_client: BinaryIO = os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        self._inbox: Inbox = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._listen, name="channel", daemon=True).start()

    def next(self) -> tuple[Load | Ask, bytes]:
        """The next order. Blocks."""
        while True:
            message, payload = self._inbox.get()
            if not isinstance(message, Cancel):
                return message, payload

    def cancelled(self, job: int) -> bool:
        with self._lock:
            return job in self._cancelled

    def done(self, job: int) -> None:
        """Jobs are numbered upwards: what is at or below this one will not be asked about again."""
        with self._lock:
            self._cancelled = {number for number in self._cancelled if number > job}

    def send(self, message: FromEngine) -> None:
        self._to_client.write(frame(message))
        self._to_client.flush()

    def _listen(self) -> None:
        """Ends the process, whatever it is doing, when the other side is gone: nobody waits for an answer."""
        try:
            while (order := read(self._from_client)) is not None:
                if isinstance(order[0], Cancel):
                    with self._lock:
                        self._cancelled.add(order[0].job)
                else:
                    self._inbox.put(order)
        except (OSError, BrokenFrame) as error:
            sys.stderr.write(f"E the pipe to the engine broke: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(0)
