"""SQLite's short transactions, each in one piece in one thread.

The asynchronous driver goes to another thread and back for every statement, begin and commit, some twenty times a
decision: that cost five times the processor time of the statements themselves, and on a busy machine each way waits
for its turn.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")


class WriterThread:
    """Runs one transaction after the other. `engine` is a synchronous one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database writer")

    async def run(self, work: Callable[[Connection], T], **options: object) -> T:
        """What `work` returns, committed; nothing where it raises. `options` are the transaction's execution options.

        A caller that is cancelled leaves only when the transaction is over: it may be committed all the same, and
        whoever is next must not come in beside it.
        """
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work, options)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait((call,))
            if not call.cancelled():
                call.exception()  # nobody else will look
            raise

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()

    def _transact(self, work: Callable[[Connection], T], options: dict[str, object]) -> T:
        with self._engine.connect() as connection:
            result = work(connection.execution_options(**options))
            connection.commit()
            return result
