"""The application over HTTP with a scripted model, in a process of its own, to measure what surrounds the model."""

import asyncio
import multiprocessing
import random
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
import uvicorn
from litestar import Litestar

from app.domain import Answer, EngineJob, Frame, Question, QuestionKind, Status, TextFinding
from app.engine.fake import FakeEngine, harmless, yes_no
from app.http.app import HttpLimits, create_app
from app.http.auth import Access, Principal, Sessions
from app.http.services import Services
from app.http.uploads import UploadLimits
from app.intake.decode import Intake, IntakeLimits
from app.media_inline import InlineWorkers
from app.media_pool import MediaPool
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.pipeline import Deadlines, Moderator
from app.moderation.shadow import ShadowLimits, ShadowRunner
from app.policy.backtests import Backtests
from app.policy.checking import get_ready
from app.policy.lasting import Lasting, look_thoroughly
from app.policy.live import LiveRuleset
from app.policy.retention_terms import RetentionTerms
from app.policy.shadow import ShadowPolicy, shadow_path
from app.review.desk import ReviewDesk
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store import (
    Database,
    LocalEvidenceStore,
    SqlArchive,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
    SqlRulesets,
    SqlShadow,
)

TOKEN = "benchmark"  # noqa: S105 - of a service on loopback that lives for one run
_MIB = 1 << 20


def database_url(folder: Path) -> str:
    return f"sqlite:///{_data(folder) / 'churn.db'}"


def _data(folder: Path) -> Path:
    """Apart from the policy, as a service has it: what is written beside the policy wakes the watch of its files."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return data


@contextmanager
def served(folder: Path, *, model_s: float) -> Iterator[str]:
    """Its address. `folder` has `policies.yaml` and `rules/`; the model takes `model_s` for each picture."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(folder, model_s, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.close()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


class _Blank:
    """Reads nothing: what OCR costs is another matter."""

    version = "none"

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        return TextFinding(status=Status.OK)


class _OneKey:
    async def find(self, token: str) -> Principal | None:
        return Principal("key_benchmark", "benchmark", frozenset({"admin"})) if token == TOKEN else None

    async def get(self, key_id: str) -> Principal | None:
        return None


def _serve(folder: Path, model_s: float, parent: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(_application(folder, model_s), log_config=None, access_log=False))

    async def run() -> None:
        asyncio.get_running_loop().add_reader(parent.fileno(), lambda: setattr(server, "should_exit", True))
        serving = asyncio.create_task(server.serve([listening]))
        while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.01)
        look_thoroughly()  # as `portcullis serve` does
        parent.send(listening.getsockname()[1])
        await serving

    asyncio.run(run())


def _application(folder: Path, model_s: float) -> Litestar:
    chance = random.Random(7)  # noqa: S311 - answers that never were

    async def answer(job: EngineJob, question: Question) -> Answer:
        if question is job.questions[0] and model_s:
            await asyncio.sleep(model_s)
        if question.kind is QuestionKind.YES_NO:
            return yes_no(question, chance.betavariate(0.5, 2) * 0.998 + 0.001)
        return harmless(job, question)

    database, engine, matcher, workers = (
        Database(database_url(folder)),
        FakeEngine(answer),
        AhoCorasickMatcher(),
        InlineWorkers(),
    )
    decisions, evidence, audit_log = (
        SqlDecisionStore(database),
        LocalEvidenceStore(_data(folder) / "evidence"),
        SqlAuditLog(database),
    )
    checkers = MediaPool(1, memory_mb=512, warm_up=[get_ready])
    making = Lasting()
    ruleset = LiveRuleset(
        folder / "policies.yaml",
        folder / "rules",
        store=SqlRulesets(database),
        prepare=lambda candidate: matcher.prepare(candidate.lists),
        workers=checkers,
        making=making,
    )
    store = SqlShadow(database)
    shadow = ShadowPolicy(shadow_path(folder / "policies.yaml"), ruleset, store=store, workers=checkers, making=making)
    comparing = ShadowRunner(
        policy=lambda: shadow.current,
        store=store,
        matcher=matcher,
        probes=Probes(),
        engine=engine,
        limits=ShadowLimits(sample=0.05, engine_jobs=8),
    )

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        await database.start()
        await checkers.start()
        await ruleset.start()
        await shadow.start()
        tasks = [asyncio.create_task(one) for one in (ruleset.watch(), shadow.watch(), comparing.run())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await comparing.drain()
        await checkers.aclose()
        await database.aclose()

    async def readiness() -> Mapping[str, str | None]:
        return {}

    services = Services(
        version="benchmark",
        access=Access(_OneKey(), Sessions(secrets.token_bytes(32))),
        moderator=Moderator(
            intake=Intake(workers, IntakeLimits(), secrets.token_bytes(32)),
            signals=Signals(_Blank(), ZxingReader(workers), matcher, Probes(), Scene(), ModelText()),
            engine=engine,
            ruleset=lambda: ruleset.current,
            decisions=decisions,
            evidence=evidence,
            admission=Admission(AdmissionLimits(uploads=64, upload_bytes=512 * _MIB, engine_jobs=64)),
            deadlines=Deadlines(default_s=60, longest_s=60),
            beside=comparing,
        ),
        decisions=decisions,
        evidence=evidence,
        outbox=audit_log,
        desk=ReviewDesk(SqlCaseStore(database), lease_s=900),
        ruleset=ruleset,
        shadow=shadow,
        shadow_store=store,
        retention=RetentionTerms(
            ruleset, SqlRetention(database), passed_if_silent=timedelta(hours=24), grace=timedelta(hours=24)
        ),
        backtests=Backtests(
            SqlArchive(database), lists=lambda: ruleset.current.lists, matcher=AhoCorasickMatcher, processes=1
        ),
        audit_log=audit_log,
        engine_info=lambda: engine.info,
        readiness=readiness,
    )
    limits = HttpLimits(UploadLimits(upload_bytes=20 * _MIB, body_bytes_in_flight=512 * _MIB), longest_wait_s=60)
    return create_app(services, limits, lifespan=[running])
