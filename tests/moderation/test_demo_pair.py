"""Asking less of a real model: a recalled answer is the first one's, and what stopped early decides as the whole."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from app.domain import Backdrop, Findings, Frame, Image, ImageFacts, Picture, UploadContext
from app.engine.base import EngineConfig
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from app.moderation.collect import Collector, Signals
from app.moderation.early_stop import EarlyStop
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.timing import Stopwatch
from app.policy.evaluate import evaluate
from app.policy.load import load_ruleset
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from tests.moderation.test_recall import Codes, Reader, plain

REPOSITORY = Path(__file__).resolve().parents[2]
RULESET = load_ruleset(REPOSITORY / "policies.yaml", REPOSITORY / "rules")
CONTEXT = UploadContext(caption="two for one until Sunday")

#: In the log-probability, of one question asked in two batches (docs/engine.md).
BATCH_BOUND = 0.07


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    models = REPOSITORY / "models"
    files = resolve(load_catalogue(models / "catalogue.yaml"), "demo", models_dir=models)
    running = LocalEngine(EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=2048)))
    await running.start()
    await running.wait_ready(60)
    yield running
    await running.aclose()


def pictures() -> list[Image]:
    """Flat colour, noise, stripes."""
    random = np.random.default_rng(3)
    flat = np.full((96, 128, 3), (200, 40, 30))
    noise = random.integers(0, 256, (96, 128, 3))
    stripes = np.tile(np.repeat([[20, 20, 20], [240, 240, 240]], 8, axis=0), (96, 8, 1))
    made = []
    for number, pixels in enumerate((flat, noise, stripes)):
        shown = Picture(128, 96, pixels.astype(np.uint8).tobytes())
        facts = ImageFacts(sha256=f"{number:064x}", width=128, height=96, format="png", size_bytes=9)
        made.append(Image(facts, "image/png", (Frame(0, 0, Backdrop.NONE, 1.0, shown),), b""))
    return made


def logs(findings: Findings) -> list[float]:
    readings = [reading for _, probe in sorted(findings.probes.items()) for reading in probe.readings]
    return [number for one in readings for number in (one.log_yes, one.log_no) if number is not None]


async def test_recalled_and_stopped_decide_as_the_plain_way(engine: LocalEngine) -> None:
    signals = Signals(Reader(), Codes(), AhoCorasickMatcher(), Probes(), Scene(), ModelText())
    plainly = Collector(signals, engine)
    remembering = Collector(signals, engine, FindingsCache(CacheLimits(1 << 20, ttl_s=600)))
    stop = EarlyStop(RULESET, CONTEXT, lambda: engine.info.model_digest)
    for picture in pictures():
        given = picture, CONTEXT, RULESET.needs
        whole = await plainly.collect(*given, Stopwatch(60))
        first = await remembering.collect(*given, Stopwatch(60))
        again = await remembering.collect(*given, Stopwatch(60))
        stopped = await plainly.collect(*given, Stopwatch(60), stop=stop)

        assert plain(again) == first
        assert {"scene", "ocr", "codes", "probes.violence"} <= set(again.recalled)
        assert logs(first) == pytest.approx(logs(whole), abs=BATCH_BOUND)

        verdicts = []
        for found in (whole, first, again, stopped):
            evaluation = evaluate(RULESET, found, CONTEXT, model_digest=engine.info.model_digest)
            rules = [(rule.id, rule.result) for rule in evaluation.rules]
            verdicts.append((evaluation.outcome, evaluation.degraded, evaluation.degraded_by, rules))
        assert verdicts[1:] == verdicts[:1] * 3
