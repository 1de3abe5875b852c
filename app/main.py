"""The composition root: the only place that picks classes. `build` makes the objects and touches nothing but the data
directory; `create_app` puts HTTP in front of them."""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from litestar import Litestar

import app
from app.domain.writing import MOST_PARTS
from app.engine.base import EngineConfig
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.places import places
from app.engine.remote.config import RemoteConfig
from app.engine.remote.engine import RemoteEngine
from app.engine.remote.setup import remote_config
from app.engine.runtime import Runtime
from app.errors import ConfigurationError
from app.http.app import HttpLimits
from app.http.app import create_app as create_http_app
from app.http.auth import Access, Sessions
from app.http.keys import FileKeyRing, admin_key, session_secret
from app.http.services import Services
from app.http.uploads import UploadLimits
from app.intake.decode import Intake, IntakeLimits
from app.jobs.scheduler import build_scheduler
from app.logs import configure_logs
from app.media_pool import MediaPool
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.forgetting import ForgettingFiles
from app.moderation.pipeline import Deadlines, Moderator
from app.moderation.shadow import ShadowLimits, ShadowRunner
from app.policy.backtests import Backtests
from app.policy.checking import get_ready
from app.policy.lasting import Lasting
from app.policy.live import LiveRuleset
from app.policy.retention_terms import RetentionTerms
from app.policy.shadow import ShadowPolicy, shadow_path
from app.review.desk import ReviewDesk
from app.service import Service
from app.settings import Settings
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.ocr import RapidOcrReader, load_ocr
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store.archive import SqlArchive
from app.store.audit import SqlAuditLog
from app.store.cases import SqlCaseStore
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.retention import SqlRetention
from app.store.rulesets import SqlRulesets
from app.store.session import Database
from app.store.shadow import SqlShadow
from app.store.ticks import SqlTicks
from app.web import console_handlers, problem_page

_MIB = 1 << 20
#: Of the process that checks policies. What it loads takes 170 MB of address space, the largest policy another 70.
_CHECKER_MEMORY_MB = 512


@dataclass(frozen=True, slots=True)
class Portcullis:
    """The whole: `service` is what runs, `http` what handlers are given."""

    settings: Settings
    service: Service
    http: Services


def build(settings: Settings, *, beside: bool = False) -> Portcullis:
    """`beside` a service on the same database, its tables and its policy stay as they are. Raises ConfigurationError
    for what must not run: the demonstration model outside loopback, an unknown model, an admin key that others can
    read."""
    configure_logs(level=settings.log_level, as_json=settings.log_json)
    _open_data_dir(settings.data_dir)
    key = admin_key(admin_key_path(settings))
    engine = _engine(settings)
    pool = MediaPool(settings.media_workers, memory_mb=settings.media_worker_memory_mb, warm_up=[load_ocr])
    checkers = MediaPool(1, memory_mb=_CHECKER_MEMORY_MB, warm_up=[get_ready], worker_name="policy checker")
    database = Database(settings.database, beside=beside)
    evidence = LocalEvidenceStore(settings.data_dir / "evidence")
    decisions, audit_log = SqlDecisionStore(database), SqlAuditLog(database)
    desk = ReviewDesk(SqlCaseStore(database), lease_s=settings.lease_s)
    cache = _findings_cache(settings)
    signals = Signals(RapidOcrReader(pool), ZxingReader(pool), AhoCorasickMatcher(), Probes(), Scene(), ModelText())
    making = Lasting()
    ruleset = LiveRuleset(
        settings.policy,
        settings.rules_dir,
        store=SqlRulesets(database),
        prepare=lambda candidate: signals.matcher.prepare(candidate.lists),
        workers=checkers,
        making=making,
        beside=beside,
    )
    shadow_store = SqlShadow(database)
    shadow = ShadowPolicy(
        shadow_path(settings.policy), ruleset, store=shadow_store, workers=checkers, making=making, beside=beside
    )
    comparing = ShadowRunner(
        policy=lambda: shadow.current,
        store=shadow_store,
        matcher=signals.matcher,
        probes=signals.probes,
        engine=engine,
        limits=ShadowLimits(sample=settings.shadow_sample, engine_jobs=max(1, settings.engine_queue // 2)),
    )
    moderator = Moderator(
        intake=Intake(pool, IntakeLimits(max_bytes=settings.max_upload_mb * _MIB), _sampling_secret(key)),
        signals=signals,
        engine=engine,
        ruleset=lambda: ruleset.current,
        decisions=decisions,
        evidence=evidence,
        admission=_admission(settings),
        deadlines=Deadlines(default_s=settings.deadline_s, longest_s=settings.max_deadline_s),
        beside=comparing,
        cache=cache,
        full_share=settings.early_stop_full_share,
    )
    records = SqlRetention(database)
    retention = RetentionTerms(
        ruleset,
        records,
        passed_if_silent=timedelta(hours=settings.keep_passed_hours),
        grace=timedelta(hours=settings.retention_grace_hours),
    )
    scheduler = build_scheduler(
        audit=audit_log,
        desk=desk,
        records=records,
        files=ForgettingFiles(evidence, cache),
        ticks=SqlTicks(database),
        seal_interval_s=settings.seal_interval_s,
        terms=retention.terms,
        knows_terms=lambda: ruleset.is_newest,
        announce=retention.announce,
    )
    backtests = Backtests(
        SqlArchive(database),
        lists=lambda: ruleset.current.lists,
        matcher=AhoCorasickMatcher,
        processes=max(1, (os.cpu_count() or 1) // 2),  # uploads go on
        workers=checkers,
    )
    service = Service(
        database,
        evidence,
        pool,
        checkers,
        engine,
        ruleset,
        scheduler,
        moderator,
        audit_log,
        shadow,
        comparing,
        backtests,
    )
    http = Services(
        version=app.__version__,
        access=Access(keys=FileKeyRing(key), sessions=Sessions(session_secret(key))),
        moderator=moderator,
        decisions=decisions,
        evidence=evidence,
        outbox=audit_log,
        desk=desk,
        ruleset=ruleset,
        shadow=shadow,
        shadow_store=shadow_store,
        retention=retention,
        backtests=backtests,
        audit_log=audit_log,
        engine_info=lambda: engine.info,
        readiness=service.readiness,
    )
    return Portcullis(settings, service, http)


def create_app(portcullis: Portcullis) -> Litestar:
    settings = portcullis.settings

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        await portcullis.service.start()
        try:
            yield
        finally:
            await portcullis.service.stop()

    upload_bytes = settings.max_upload_mb * _MIB
    limits = UploadLimits(upload_bytes=upload_bytes, body_bytes_in_flight=settings.max_in_flight_mb * _MIB)
    return create_http_app(
        portcullis.http,
        HttpLimits(upload=limits, longest_wait_s=settings.max_deadline_s),
        console=console_handlers(largest_upload_bytes=upload_bytes),
        problem_page=problem_page(portcullis.http.engine_info),
        lifespan=[running],
    )


def admin_key_path(settings: Settings) -> Path:
    return settings.data_dir / "admin.key"


def _open_data_dir(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the data directory {path} cannot be made: {error.strerror}") from error


def _engine(settings: Settings) -> LocalEngine | RemoteEngine:
    if settings.engine_url is None:
        return LocalEngine(_engine_config(settings))
    return RemoteEngine(_remote_config(settings, settings.engine_url))


def _remote_config(settings: Settings, url: str) -> RemoteConfig:
    config = remote_config(
        load_catalogue(settings.catalogue),
        url,
        key=settings.engine_key,
        model=settings.engine_model,
        model_digest=settings.engine_model_digest,
        chat_form=settings.chat_form,
        ca_file=settings.engine_ca_file,
        concurrency=settings.engine_concurrency,
        timeout_s=settings.engine_timeout_s,
        top_logprobs=settings.engine_top_logprobs,
    )
    _refuse_demonstration(settings, "of PORTCULLIS_ENGINE_URL", demonstration=config.demonstration)
    return config


def _engine_config(settings: Settings) -> EngineConfig:
    files = resolve(
        load_catalogue(settings.catalogue),
        settings.model,
        models_dir=settings.models_dir,
        projector=settings.projector,
        chat_form=settings.chat_form,
    )
    _refuse_demonstration(settings, f"'{files.name}'", demonstration=files.demonstration)
    return EngineConfig(
        files=files,
        runtime=Runtime(
            gpu_layers=settings.engine_gpu_layers,
            threads=settings.engine_threads,
            context_tokens=settings.engine_context_tokens,
            batch_tokens=settings.engine_batch_tokens,
            ubatch_tokens=settings.engine_ubatch_tokens,
            flash_attention=settings.engine_flash_attention,
            kv_type_k=settings.engine_kv_type_k,
            kv_type_v=settings.engine_kv_type_v,
            mmap=settings.engine_mmap,
            mlock=settings.engine_mlock,
            draft_tokens=settings.engine_draft_tokens,
        ),
        places=places(settings.engine_gpus, settings.engine_processes, gpu_layers=settings.engine_gpu_layers),
        hang_grace_s=settings.engine_hang_grace_s,
        # Whatever the uploads that were let in may ask at once is taken: a job for each frame and each part of a text.
        most_waiting=settings.max_in_flight * (IntakeLimits().max_frames + MOST_PARTS),
    )


def _refuse_demonstration(settings: Settings, model: str, *, demonstration: bool) -> None:
    if demonstration and not settings.loopback and not settings.allow_demo_model:
        raise ConfigurationError(
            f"the model {model} is a demonstration and not a moderator, and {settings.host} can be reached from "
            "outside: set PORTCULLIS_MODEL to a real model, or PORTCULLIS_ALLOW_DEMO_MODEL=1 to serve with it anyway"
        )


def _sampling_secret(key: str) -> bytes:
    """Follows from the key, so that there is one secret to keep."""
    return hmac.digest(key.encode(), b"portcullis frame sampling 1", "sha256")


def _admission(settings: Settings) -> Admission:
    return Admission(
        AdmissionLimits(
            uploads=settings.max_in_flight,
            upload_bytes=settings.max_in_flight_mb * _MIB,
            engine_jobs=settings.engine_queue,
        )
    )


def _findings_cache(settings: Settings) -> FindingsCache | None:
    if settings.findings_cache_mb == 0:
        return None
    limits = CacheLimits(bytes_kept=settings.findings_cache_mb * _MIB, ttl_s=settings.findings_cache_ttl_s)
    return FindingsCache(limits)
