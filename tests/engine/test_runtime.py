"""llama.cpp's own settings: what goes together is found out early, and what was chosen is said."""

import asyncio
import resource
from collections.abc import Mapping
from dataclasses import replace

import pytest

from app.engine import process as engine_process
from app.engine.base import EngineConfig, ModelFiles
from app.engine.process import EngineProcess
from app.engine.runtime import Runtime
from app.engine.worker.protocol import Ready
from app.errors import ConfigurationError, EngineUnavailable, TooLittleMemory


async def started(config: EngineConfig, **changes: object) -> Ready:
    process, ready = await EngineProcess.start(
        replace(config, runtime=replace(config.runtime, **changes)), lambda: None
    )
    await process.close()
    return ready


def test_a_step_larger_than_a_batch_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"PORTCULLIS_ENGINE_UBATCH_TOKENS \(512\) is above"):
        Runtime(batch_tokens=256)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_values_in_few_bits_without_flash_attention_are_refused(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PORTCULLIS_ENGINE_KV_TYPE_V={kind} needs flash attention"):
        Runtime(kv_type_v=kind, flash_attention="off")  # type: ignore[arg-type]

    Runtime(kv_type_k="q8_0", flash_attention="off")


async def test_what_is_chosen_is_said_and_is_what_llama_cpp_took(demo_config: EngineConfig) -> None:
    plain = await started(demo_config)
    chosen = await started(
        demo_config,
        batch_tokens=256,
        ubatch_tokens=64,
        flash_attention="off",
        kv_type_k="f32",
        kv_type_v="f32",
        mmap=False,
    )

    assert (plain.batch_tokens, plain.ubatch_tokens, plain.flash_attention) == (2048, 512, "on")
    assert (chosen.batch_tokens, chosen.ubatch_tokens, chosen.flash_attention) == (256, 64, "off")
    assert (chosen.kv_type_k, chosen.kv_type_v, chosen.mmap, chosen.mlock) == ("f32", "f32", False, False)
    before, after = ({(held.device, held.use): held.bytes for held in ready.memory} for ready in (plain, chosen))
    assert after["CPU", "kv"] == 2 * before["CPU", "kv"]
    assert "CPU_Mapped model" in plain.chosen()["memory_mib"]  # type: ignore[operator]
    assert ("CPU", "model") in after


async def test_the_start_up_line_counts_the_memory_of_each_part(demo_config: EngineConfig, demo: ModelFiles) -> None:
    ready = await started(demo_config)

    sizes = {held.use: held.bytes for held in ready.memory}
    assert set(sizes) == {"model", "projector", "kv", "compute", "projector compute", "output"}
    assert sizes["model"] == pytest.approx(demo.model.stat().st_size, rel=0.05)
    assert sizes["projector"] == pytest.approx(demo.projector.stat().st_size, rel=0.05)
    assert ready.resident_bytes > sizes["kv"] + sizes["compute"]
    said = ready.chosen()
    assert said["load_s"] == round(ready.load_s, 2)
    assert said["memory_mib"]["CPU kv"] == round(sizes["kv"] / 2**20, 1)  # type: ignore[index]


async def test_a_context_larger_than_the_machine_is_refused_before_it_is_made(demo_config: EngineConfig) -> None:
    with pytest.raises(TooLittleMemory, match=r"needs at least [\d.]+ GiB of memory \(.*context [\d.]+\) and"):
        await started(demo_config, context_tokens=4_000_000_000)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limits of another process are set on Linux alone")
async def test_memory_that_runs_out_while_it_loads_is_told_from_a_broken_file(
    demo_config: EngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU or llama.cpp's own work takes is not known beforehand: here its cells fit and its work does not."""
    spawn = engine_process._spawn

    async def little(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        process = await spawn(environment)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
        return process

    monkeypatch.setattr(engine_process, "_spawn", little)
    with pytest.raises(TooLittleMemory, match=r"cannot make a context of 2000000 tokens .* failed to allocate"):
        await started(demo_config, context_tokens=2_000_000)


async def test_settings_that_do_not_suit_the_model_are_said_in_llama_cpps_words(demo_config: EngineConfig) -> None:
    with pytest.raises(EngineUnavailable, match=r"with these settings: .* K \(f32\) and V \(f16\)"):
        await started(demo_config, kv_type_k="f32")


async def test_a_batch_larger_than_the_context_is_cut_to_it(demo_config: EngineConfig) -> None:
    ready = await started(demo_config, context_tokens=1024, batch_tokens=4096, ubatch_tokens=2048)

    assert (ready.batch_tokens, ready.ubatch_tokens) == (1024, 1024)
