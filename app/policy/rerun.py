"""A backtest over everything that is stored: pages out of the archive, chunks through several processes, one report."""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from app.domain import KeywordList, StoredDecision
from app.errors import NotFound, WorkerCrashed
from app.policy.backtest import Backtest, Flip, Report, Sweeps, Tally, tally
from app.policy.load import build_ruleset
from app.policy.ports import Archive, Matcher, RulesetStore
from app.policy.rows import ListsOf, RowReader
from app.policy.ruleset import Ruleset

#: Decisions in a chunk: large enough for columns, small enough that a few in flight take little memory.
CHUNK_ROWS = 1000
#: Up to this many decisions, starting processes takes longer than the work.
_FEW = 4000


@dataclass(frozen=True, slots=True)
class Plan:
    """`matcher` makes one in each process. `on_progress` hears how many decisions are done, `on_flips` every flip."""

    ruleset: Ruleset
    since: datetime
    matcher: Callable[[], Matcher]
    processes: int
    sweeps: Sweeps = field(default_factory=dict)
    on_progress: Callable[[int], None] = lambda _: None
    on_flips: Callable[[Sequence[Flip]], None] = lambda _: None


async def rerun(plan: Plan, archive: Archive, rulesets: RulesetStore) -> Report:
    """Raises StoreUnavailable, and WorkerCrashed when a process was killed, say for its memory."""
    few = await archive.count(since=plan.since) <= _FEW
    ruleset = plan.ruleset
    given = (ruleset.source, ruleset.lists, plan.matcher, dict(plan.sweeps))
    executor: Executor
    if few:
        work = _Work(*given)
        executor, call = ThreadPoolExecutor(1), work.tally
    else:
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(max(1, plan.processes), context, initializer=_prepare, initargs=given)
        call = _tally
    backtest = Backtest(ruleset)

    def done(part: Tally) -> None:
        backtest.add(part)
        plan.on_flips(part.flips)
        plan.on_progress(backtest.decisions)

    try:
        in_flight: set[asyncio.Future[Tally]] = set()
        async with aclosing(_chunks(plan, archive, rulesets)) as chunks:
            async for chunk, lists_of in chunks:
                if len(in_flight) > 2 * plan.processes:
                    finished, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                    for one in finished:
                        done(one.result())
                in_flight.add(asyncio.get_running_loop().run_in_executor(executor, call, chunk, lists_of))
        for part in await asyncio.gather(*in_flight):
            done(part)
    except BrokenProcessPool as broken:
        raise WorkerCrashed("a process of the backtest was killed") from broken
    finally:
        await asyncio.to_thread(executor.shutdown, cancel_futures=True)
    return backtest.report()


async def _chunks(
    plan: Plan, archive: Archive, rulesets: RulesetStore
) -> AsyncGenerator[tuple[list[StoredDecision], ListsOf]]:
    """Each chunk with the lists that its rulesets had."""
    known: dict[str, dict[str, str] | None] = {}
    models = any(probe.calibration is not None for probe in plan.ruleset.policy.probes.values())
    async with aclosing(archive.pages(since=plan.since, rows=CHUNK_ROWS, models=models)) as pages:
        async for page in pages:
            digests = {one.ruleset for one in page}
            for digest in digests - known.keys():
                known[digest] = await _lists_of(rulesets, digest)
            yield page, {digest: lists for digest in digests if (lists := known[digest]) is not None}


async def _lists_of(rulesets: RulesetStore, digest: str) -> dict[str, str] | None:
    try:
        return {one.name: one.digest for one in (await rulesets.find(digest)).lists}
    except NotFound:
        return None


class _Work:
    """What a process does; everything is made there, because compiled conditions do not travel."""

    def __init__(
        self, policy: str, lists: Sequence[KeywordList], matcher: Callable[[], Matcher], sweeps: Sweeps
    ) -> None:
        self._ruleset = build_ruleset(policy.encode(), lists)
        self._reader = RowReader(self._ruleset, matcher())
        self._sweeps = sweeps

    def tally(self, stored: list[StoredDecision], lists_of: ListsOf) -> Tally:
        return tally(self._ruleset, self._reader, stored, lists_of, self._sweeps)


_work: list[_Work] = []


def _prepare(policy: str, lists: Sequence[KeywordList], matcher: Callable[[], Matcher], sweeps: Sweeps) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work[:] = [_Work(policy, lists, matcher, sweeps)]
    # Rows are many and have no cycles: looking for some again and again takes longer than all the rest.
    gc.freeze()
    gc.disable()


def _end_with_parent() -> None:
    """A service that is killed takes nobody along, and whoever waits for more work would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _tally(stored: list[StoredDecision], lists_of: ListsOf) -> Tally:
    counted = _work[0].tally(stored, lists_of)
    gc.collect()
    return counted
