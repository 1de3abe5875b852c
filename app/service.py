"""What runs, started and stopped together. Which classes these are is `app.main`'s business."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from app.audit.ports import AuditLog
from app.domain import EngineInfo, EngineState
from app.errors import PortcullisError
from app.jobs.scheduler import Scheduler
from app.jobs.sealing import seal_audit
from app.media_pool import MediaPool
from app.moderation.pipeline import Moderator
from app.moderation.ports import Engine
from app.moderation.shadow import ShadowRunner
from app.policy.backtests import Backtests
from app.policy.live import LiveRuleset
from app.policy.shadow import ShadowPolicy
from app.store.evidence import LocalEvidenceStore
from app.store.session import Database

log = structlog.get_logger(__name__)


class RunningEngine(Engine, Protocol):
    """An engine of either kind, to be started and stopped."""

    async def start(self) -> None: ...

    async def wait_ready(self, timeout_s: float) -> EngineInfo: ...

    async def aclose(self) -> None: ...


@dataclass
class Service:
    database: Database
    evidence: LocalEvidenceStore
    pool: MediaPool
    checkers: MediaPool
    engine: RunningEngine
    ruleset: LiveRuleset
    scheduler: Scheduler
    moderator: Moderator
    audit_log: AuditLog
    shadow: ShadowPolicy
    comparing: ShadowRunner
    backtests: Backtests
    _warming: asyncio.Task[None] | None = field(default=None, init=False)
    _watching: asyncio.Task[None] | None = field(default=None, init=False)
    _beside: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Returns when uploads are accepted; model and OCR networks go on loading, and `wait_ready` waits for them.
        What runs already is left as it is.

        Raises PolicyInvalid, StoreUnavailable, WorkerError and ConfigurationError; then nothing is left running.
        """
        if self._watching is not None:
            return
        try:
            await self.database.start()
            await self.checkers.start()
            await self.ruleset.start()
        except BaseException:
            await self.checkers.aclose()
            await self.database.aclose()
            raise
        await self.shadow.start()
        await self.engine.start()
        self._warming = asyncio.create_task(self.pool.start(), name="media workers")
        self._watching = asyncio.create_task(self.ruleset.watch(), name="policy watch")
        self._beside = asyncio.create_task(self._try_policies(), name="shadow policy")
        self.scheduler.start()
        log.info("the service accepts uploads", action="service_started")

    async def stop(self) -> None:
        """In the order that lets each part finish what others still need."""
        log.info("the service stops", action="service_stopping")
        await self.scheduler.shutdown()
        for task in (self._watching, self._beside, self._warming):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.backtests.aclose()
        await self.engine.aclose()
        await self.pool.aclose()
        await self.checkers.aclose()
        await self.comparing.drain()
        await self._seal_the_rest()
        await self.database.aclose()
        log.info("the service has stopped", action="service_stopped")

    async def _try_policies(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.shadow.watch(), name="shadow watch")
            group.create_task(self.comparing.run(), name="shadow comparing")

    async def _seal_the_rest(self) -> None:
        try:
            await seal_audit(self.audit_log)
        except PortcullisError as fault:  # it waits in the outbox, and the next start seals it
            log.warning("audit entries are left to seal", action="seal_postponed", code=fault.code)

    async def wait_ready(self, timeout_s: float) -> None:
        """Raises EngineUnavailable or WorkerError with the reason when something cannot get ready."""
        if self._warming is not None:
            await asyncio.shield(self._warming)
        await self.engine.wait_ready(timeout_s)

    async def readiness(self) -> Mapping[str, str | None]:
        """Component -> why it is not ready, or None."""
        info = self.engine.info
        return {
            "engine": None if info.state is EngineState.READY else info.detail or info.state.value,
            "media_workers": self._why_not_warm(),
            "store": await self._why_no_store(),
        }

    def _why_not_warm(self) -> str | None:
        if self._warming is None or not self._warming.done():
            return "the OCR networks are being loaded"
        fault = None if self._warming.cancelled() else self._warming.exception()
        if fault is not None:
            return fault.detail if isinstance(fault, PortcullisError) else type(fault).__name__
        return None if self.pool.pids else "no media worker is alive"

    async def _why_no_store(self) -> str | None:
        try:
            await self.database.ping()
            await self.evidence.ping()
        except PortcullisError as fault:
            return fault.detail
        return None
