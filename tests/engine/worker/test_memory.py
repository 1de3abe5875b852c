"""What a model takes, estimated before it is loaded and read off the log after."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.base import EngineConfig
from app.engine.process import load_order
from app.engine.worker import memory
from app.engine.worker.memory import Account
from app.engine.worker.protocol import Load
from app.engine.worker.resident import Resident
from app.errors import TooLittleMemory

#: As llama.cpp 0.3.36 writes them for two devices.
LOG = """\
load_tensors:   CPU_Mapped model buffer size =   300.00 MiB
load_tensors:        CUDA0 model buffer size =  4000.50 MiB
llama_context:  CUDA_Host  output buffer size =     1.08 MiB
llama_kv_cache:      CUDA0 KV buffer size =   360.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    40.00 MiB
resolve_fused_ops: Flash Attention enabled
sched_reserve:      CUDA0 compute buffer size =   512.00 MiB
sched_reserve:      CUDA0 compute buffer size =   600.00 MiB
clip_ctx: CLIP using CUDA0 backend
load_hparams: model size:         850.25 MiB
reserve_compute_meta:      CUDA0 compute buffer size =   200.00 MiB
load: something else of 3 MiB
"""


def test_the_log_is_added_up_by_device_and_use() -> None:
    account = Account()
    for line in LOG.splitlines():
        account.hear(line)

    assert {(held.device, held.use): held.bytes / 2**20 for held in account.held()} == {
        ("CPU_Mapped", "model"): 300.0,
        ("CUDA0", "model"): 4000.5,
        ("CUDA_Host", "output"): pytest.approx(1.08),
        ("CUDA0", "kv"): 400.0,
        ("CUDA0", "compute"): 600.0,
        ("CUDA0", "projector"): 850.25,
        ("CUDA0", "projector compute"): 200.0,
    }
    assert account.flash_attention("auto") == "on"


def test_flash_attention_that_a_device_cannot_is_off() -> None:
    account = Account()
    account.hear("resolve_fused_ops: Flash Attention not supported, set to disabled")

    assert account.flash_attention("auto") == "off"
    assert account.flash_attention("on") == "on"


def test_the_estimate_of_the_cells_is_what_llama_cpp_takes(resident: Resident) -> None:
    (taken,) = [held.bytes for held in memory_of(resident) if held.use == "kv"]

    estimated = memory.kv_cache_bytes(resident.model.model, resident.model.context_tokens, "f16", "f16")

    assert estimated == pytest.approx(taken, rel=0.01)
    assert memory.kv_cache_bytes(resident.model.model, 1000, "q8_0", "q8_0") == pytest.approx(
        memory.kv_cache_bytes(resident.model.model, 1000, "f16", "f16") * 8.5 / 16, rel=0.01
    )


def memory_of(_: Resident) -> tuple[memory.Held, ...]:
    from app.engine.worker import logs  # noqa: PLC0415 - filled while the model was loaded

    return logs.account.held()


def test_a_model_larger_than_the_machine_is_refused_before_it_is_read(
    demo_config: EngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = load_order(demo_config)
    memory.refuse_what_cannot_fit(order)

    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: 1000)

    with pytest.raises(TooLittleMemory, match="take a smaller model"):
        memory.refuse_what_cannot_fit(order)


def test_the_limit_is_the_machines_or_less() -> None:
    assert 0 < memory.memory_limit_bytes() <= physical_bytes()


def physical_bytes() -> int:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return int(line.split()[1]) * 1024


def test_a_container_may_have_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_own_cgroups", lambda: [tmp_path / "a" / "b", tmp_path / "a", tmp_path])
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text("123456\n")

    assert memory.memory_limit_bytes() == 123456


def test_a_file_that_is_gone_is_not_this_checks_affair(demo_config: EngineConfig) -> None:
    order: Load = load_order(replace(demo_config, files=replace(demo_config.files, model=Path("gone.gguf"))))

    memory.refuse_what_cannot_fit(order)
