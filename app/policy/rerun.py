"""A backtest over everything that is stored: stretches of the archive through several processes, one report."""

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.synchronize import Event

import structlog

from app.domain import KeywordList, Span, StoredDecision
from app.errors import WorkerCrashed
from app.policy.backtest import Backtest, Flip, Report, Sweeps, Tally, tally
from app.policy.load import build_ruleset
from app.policy.ports import Archive, Matcher
from app.policy.rows import ListsOf, RowReader
from app.policy.ruleset import Ruleset

#: Decisions that a process reads at once: enough for columns, and few enough to take little memory.
PAGE_ROWS = 1000
#: Decisions that it is given to do, at most: enough that opening the database for them does not weigh.
SPAN_ROWS = 5000
#: Of a few decisions a process gets so many stretches, of a page at least.
_SPANS_A_PROCESS = 4
#: Up to this many decisions, starting processes takes longer than the work.
_FEW = 4000


@dataclass(frozen=True, slots=True)
class Plan:
    """`matcher` makes one in each process. `on_total` hears how many decisions there are, `on_progress` how many of
    them are done, `on_flips` every flip."""

    ruleset: Ruleset
    since: datetime
    matcher: Callable[[], Matcher]
    processes: int
    sweeps: Sweeps = field(default_factory=dict)
    on_total: Callable[[int], None] = lambda _: None
    on_progress: Callable[[int], None] = lambda _: None
    on_flips: Callable[[Sequence[Flip]], None] = lambda _: None


Opener = Callable[[], AbstractAsyncContextManager[Archive]]


@dataclass(frozen=True, slots=True)
class Given:
    """What goes to each process, and can."""

    policy: str
    lists: Sequence[KeywordList]
    matcher: Callable[[], Matcher]
    sweeps: Sweeps
    opener: Opener


async def rerun(plan: Plan, archive: Archive) -> Report:
    """Raises StoreUnavailable, and WorkerCrashed when a process was killed, say for its memory."""
    backtest = Backtest(plan.ruleset)

    def done(part: Tally) -> None:
        backtest.add(part)
        plan.on_flips(part.flips)
        plan.on_progress(backtest.decisions)

    total = await archive.count(since=plan.since)
    plan.on_total(total)
    if total <= _FEW:
        work = await asyncio.to_thread(_Work, plan.ruleset, plan.matcher, plan.sweeps)
        async with aclosing(work.parts(archive, Span((plan.since, "")))) as parts:
            async for part in parts:
                done(part)
    else:
        # Every process has something to do, and whoever watches sees it get on.
        rows = min(SPAN_ROWS, max(PAGE_ROWS, total // (_SPANS_A_PROCESS * max(1, plan.processes))))
        await _in_processes(plan, archive, rows, done)
    return backtest.report()


async def _in_processes(plan: Plan, archive: Archive, rows: int, done: Callable[[Tally], None]) -> None:
    """Each process reads what it works on: nothing but places in the archive and counts goes between them."""
    ruleset, context = plan.ruleset, multiprocessing.get_context("spawn")
    stop = context.Event()
    given = Given(ruleset.source, ruleset.lists, plan.matcher, dict(plan.sweeps), archive.opener())
    executor = ProcessPoolExecutor(max(1, plan.processes), context, initializer=_prepare, initargs=(given, stop))
    in_flight: set[asyncio.Future[Tally]] = set()
    try:
        async with aclosing(archive.spans(since=plan.since, rows=rows)) as spans:
            async for span in spans:
                if len(in_flight) > 2 * plan.processes:
                    finished, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                    for one in finished:
                        done(one.result())
                in_flight.add(asyncio.get_running_loop().run_in_executor(executor, _tally, span))
        for next_done in asyncio.as_completed(in_flight):
            done(await next_done)
    except BrokenProcessPool as broken:
        raise WorkerCrashed("a process of the backtest was killed") from broken
    finally:
        stop.set()  # what was handed out can no longer be taken back, but need not be done
        await asyncio.to_thread(executor.shutdown, cancel_futures=True)


class _Work:
    """What a process does."""

    def __init__(self, ruleset: Ruleset, matcher: Callable[[], Matcher], sweeps: Sweeps) -> None:
        self._ruleset = ruleset
        self._reader = RowReader(ruleset, matcher())
        self._sweeps = sweeps
        self._models = any(probe.calibration is not None for probe in ruleset.policy.probes.values())
        self._lists: dict[str, dict[str, str] | None] = {}

    async def parts(self, archive: Archive, span: Span) -> AsyncGenerator[Tally]:
        """A page each."""
        async with aclosing(archive.pages(span, rows=PAGE_ROWS, models=self._models)) as pages:
            async for page in pages:
                lists_of = await self._lists_of(archive, page)
                yield await asyncio.to_thread(tally, self._ruleset, self._reader, page, lists_of, self._sweeps)

    async def tally(self, archive: Archive, span: Span, stopped: Callable[[], bool]) -> Tally:
        """Of a part, once it is stopped: then nobody wants it."""
        total = Tally()
        if stopped():
            return total
        async with aclosing(self.parts(archive, span)) as parts:
            async for part in parts:
                total.add(part)
                total.flips += part.flips
                if stopped():
                    break
        return total

    async def _lists_of(self, archive: Archive, page: Sequence[StoredDecision]) -> ListsOf:
        digests = {one.ruleset for one in page}
        for digest in digests - self._lists.keys():
            lists = await archive.lists_of(digest)
            self._lists[digest] = None if lists is None else dict(lists)
        return {digest: lists for digest in digests if (lists := self._lists[digest]) is not None}


#: In a process: its work, what opens the archive, and whether to leave off.
_work: list[tuple[_Work, Opener, Callable[[], bool]]] = []


def _prepare(given: Given, stop: Event) -> None:
    """Everything is made there, because compiled conditions do not travel."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Standard output is the parent's, and may be a report that something else reads.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    ruleset = build_ruleset(given.policy.encode(), given.lists)
    _work[:] = [(_Work(ruleset, given.matcher, given.sweeps), given.opener, stop.is_set)]
    # Rows are many and have no cycles: looking for some again and again takes longer than all the rest.
    gc.freeze()
    gc.disable()


def _end_with_parent() -> None:
    """A service that is killed takes nobody along, and whoever waits for more work would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _tally(span: Span) -> Tally:
    work, opener, stopped = _work[0]

    async def opened() -> Tally:
        async with opener() as archive:
            return await work.tally(archive, span, stopped)

    counted = asyncio.run(opened())
    gc.collect()
    return counted
