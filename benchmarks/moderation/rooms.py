"""The pipeline as it runs, with the demonstration model and real readers, three times over one engine."""

import dataclasses
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.engine.base import EngineConfig
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from app.intake.decode import Intake, IntakeLimits
from app.media_pool import MediaPool
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.pipeline import Deadlines, Moderator
from app.policy.load import load_ruleset
from app.policy.ruleset import Ruleset
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.ocr import RapidOcrReader, load_ocr
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store import Database, LocalEvidenceStore, SqlDecisionStore

ROOT = Path(__file__).resolve().parents[2]
_PATIENT_S = 60.0
_START_S = 300.0


@dataclass(slots=True)
class Spent:
    """Processor seconds; 0 until it is over."""

    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rooms:
    """`plain` remembers nothing, `remembering` does, `stopping` remembers nothing and stops early."""

    plain: Moderator
    remembering: Moderator
    stopping: Moderator
    engine: LocalEngine

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """What this process and those it started spend meanwhile; theirs in steps of 10 ms. Looking for them takes
        some milliseconds, which do not count."""
        spent = Spent()
        theirs_s, own_s = _children_cpu_s(), time.process_time()
        yield spent
        spent.cpu_s = time.process_time() - own_s
        spent.cpu_s += _children_cpu_s() - theirs_s


def _children_cpu_s() -> float:
    return sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children(recursive=True))


@asynccontextmanager
async def rooms(folder: Path, threads: int) -> AsyncIterator[Rooms]:
    files = resolve(load_catalogue(ROOT / "models" / "catalogue.yaml"), "demo", models_dir=ROOT / "models")
    engine = LocalEngine(EngineConfig(files=files, runtime=Runtime(threads=threads), remembered_bytes=0))
    pool = MediaPool(2, memory_mb=3072, warm_up=[load_ocr])
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    await database.start()
    await engine.start()
    try:
        await pool.start()
        await engine.wait_ready(_START_S)
        built = _built(folder, engine, pool, database)
        gc.collect()
        gc.freeze()  # as the service does when it has started
        yield built
    finally:
        gc.unfreeze()
        await engine.aclose()
        await pool.aclose()
        await database.aclose()


def _built(folder: Path, engine: LocalEngine, pool: MediaPool, database: Database) -> Rooms:
    ruleset = load_ruleset(ROOT / "policies.yaml", ROOT / "rules")
    signals = Signals(RapidOcrReader(pool), ZxingReader(pool), AhoCorasickMatcher(), Probes(), Scene(), ModelText())
    signals.matcher.prepare(ruleset.lists)

    def moderator(decided_by: Ruleset, cache: FindingsCache | None) -> Moderator:
        return Moderator(
            intake=Intake(pool, IntakeLimits(), b"benchmark"),
            signals=signals,
            engine=engine,
            ruleset=lambda: decided_by,
            decisions=SqlDecisionStore(database),
            evidence=LocalEvidenceStore(folder / "evidence"),
            admission=Admission(AdmissionLimits(uploads=64, upload_bytes=1 << 30, engine_jobs=64)),
            deadlines=Deadlines(default_s=_PATIENT_S, longest_s=_PATIENT_S),
            cache=cache,
            full_share=0.0,
        )

    cache = FindingsCache(CacheLimits(bytes_kept=64 << 20, ttl_s=3600))
    return Rooms(moderator(ruleset, None), moderator(ruleset, cache), moderator(_stopping(ruleset), None), engine)


def _stopping(ruleset: Ruleset) -> Ruleset:
    defaults = ruleset.policy.defaults.model_copy(update={"early_stop": True})
    return dataclasses.replace(ruleset, policy=ruleset.policy.model_copy(update={"defaults": defaults}))
