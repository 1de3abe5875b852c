"""The benchmark's random-weight pairs: llama.cpp loads each family's, and the engine answers with it."""

from pathlib import Path

import pytest

from app.domain import Status
from app.engine.base import EngineConfig
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.pairs import KINDS, write_pair
from tests.engine.conftest import START_S
from tests.engine.jobs import all_answers, caption, job, picture, probes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["tiny", "qwen2vl-tiny", "llava-tiny", "gemma3-tiny"])
async def test_a_job_is_answered_by_a_pair_of_each_shape(shape: str, kind: str, tmp_path: Path) -> None:
    files = pair_files(*write_pair(shape, tmp_path, kind), shape)
    engine = LocalEngine(EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=4096, gpu_layers=0)))
    await engine.start()
    try:
        await engine.wait_ready(START_S)
        found = [await all_answers(engine.ask(job([*probes()[:6], caption(4)], picture(seed)))) for seed in (0, 1)]
    finally:
        await engine.aclose()

    assert [answer.status for answers in found for answer in answers] == [Status.OK] * 14
    one, other = ({answer.question_id: answer.log_yes for answer in answers} for answers in found)
    # It has eyes: another picture, another answer.
    assert one != other
