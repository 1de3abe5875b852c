"""What the engine process costs: the same job in this process and through the client.

    .venv/bin/python benchmarks/engine/overhead.py [jobs]

Both run in turn, so that a machine that is busy with something else slows both. Prints milliseconds: the quickest and
the median. The job is twelve probes and a caption of the demonstration model.
"""

import asyncio
import logging
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import structlog  # noqa: E402

from app.domain import EngineJob, Picture, Question, QuestionKind  # noqa: E402
from app.engine.base import EngineConfig  # noqa: E402
from app.engine.catalogue import load_catalogue, resolve  # noqa: E402
from app.engine.local import LocalEngine  # noqa: E402
from app.engine.pending import PendingJob  # noqa: E402
from app.engine.process import load_order  # noqa: E402
from app.engine.worker.resident import load_resident  # noqa: E402
from app.engine.worker.scheduler import Scheduler  # noqa: E402

TOPICS = ("weapons", "blood or injury", "drugs or smoking", "alcohol", "gambling", "adult content")
TOPICS_ZH = ("武器", "血腥或受伤", "毒品或吸烟", "酒", "赌博", "成人内容")
QUESTIONS = (
    *(Question(f"en-{t}", QuestionKind.YES_NO, f"Does this image show {t}? Answer Yes or No.") for t in TOPICS),
    *(Question(f"zh-{t}", QuestionKind.YES_NO, f"这张图片中是否有{t}？请回答是或否。") for t in TOPICS_ZH),
    Question("caption", QuestionKind.GENERATE, "Describe the image.", 24),
)


def picture(width: int, height: int) -> Picture:
    row = bytes((x * 7 + c * 60) % 256 for x in range(width) for c in range(3))
    return Picture(width, height, row * height)


def job(shown: Picture) -> EngineJob:
    return EngineJob("bench", shown, QUESTIONS, time.monotonic() + 60)


def here(scheduler: Scheduler, shown: Picture) -> float:
    began = time.perf_counter()
    scheduler.submit(PendingJob(1, job(shown)).ask(), shown.rgb)
    while scheduler.busy:
        scheduler.turn()
    return time.perf_counter() - began


async def through(engine: LocalEngine, shown: Picture) -> float:
    began = time.perf_counter()
    async for answer in engine.ask(job(shown)):
        assert answer.reason is None
    return time.perf_counter() - began


def row(name: str, seconds: Sequence[float]) -> str:
    return f"{name:28} min {min(seconds) * 1000:7.1f}   median {statistics.median(seconds) * 1000:7.1f}"


async def main(jobs: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    files = resolve(load_catalogue(ROOT / "models" / "catalogue.yaml"), "demo", models_dir=ROOT / "models")
    # Nothing is remembered, so that each job encodes its picture.
    config = EngineConfig(files=files, remembered_bytes=0)
    engine = LocalEngine(config)
    scheduler = Scheduler(load_resident(load_order(config)), lambda _: None)
    await engine.start()
    await engine.wait_ready(60)
    for size in ((160, 160), (448, 448), (1280, 960)):
        shown = picture(*size)
        local, remote = [], []
        for _ in range(jobs):
            local.append(here(scheduler, shown))
            remote.append(await through(engine, shown))
        print(row(f"{size[0]}x{size[1]} in this process", local[1:]))
        print(row(f"{size[0]}x{size[1]} through the client", remote[1:]))
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
