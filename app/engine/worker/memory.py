"""What the model takes of the machine's memory: estimated before it is loaded, read off llama.cpp's log after."""

import ctypes
import math
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import llama_cpp

from app.engine.runtime import FlashAttention, KvType
from app.engine.worker.protocol import Held, Load
from app.errors import TooLittleMemory

_CGROUPS = Path("/sys/fs/cgroup")
#: Bits of one stored number, its share of its block's scale included.
_BITS: dict[KvType, float] = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q4_0": 4.5}
_BUFFER = re.compile(
    r"(?P<by>\w+): +(?P<device>\S+) +(?P<what>model|KV|compute|output) buffer size *= *(?P<mib>[\d.]+)"
)
_PROJECTOR = re.compile(r"load_hparams: model size: +(?P<mib>[\d.]+) MiB")
_PROJECTOR_DEVICE = re.compile(r"clip_ctx: CLIP using (?P<device>\S+) backend")
_NO_FLASH_ATTENTION = "Flash Attention not supported"
#: Who reports the projector's own working memory.
_PROJECTOR_COMPUTE = "reserve_compute_meta"


class Account:
    """Adds up the buffers that llama.cpp tells of while it loads, by device and use. It has no call that says it."""

    def __init__(self) -> None:
        self._bytes: Counter[tuple[str, str]] = Counter()
        self._projector_device = "CPU"
        self._flash_attention = True

    def hear(self, line: str) -> None:
        """A line of llama.cpp's log."""
        if (found := _PROJECTOR_DEVICE.search(line)) is not None:
            self._projector_device = found["device"]
        elif _NO_FLASH_ATTENTION in line:
            self._flash_attention = False
        elif (found := _PROJECTOR.search(line)) is not None:
            self._bytes[self._projector_device, "projector"] = _bytes(found)
        elif (found := _BUFFER.search(line)) is not None:
            use = "projector compute" if found["by"] == _PROJECTOR_COMPUTE else found["what"].lower()
            # A buffer that is reserved again replaces the one before; several caches of one model add up.
            so_far = self._bytes[found["device"], use] if use in {"kv", "model"} else 0
            self._bytes[found["device"], use] = so_far + _bytes(found)

    def flash_attention(self, asked: FlashAttention) -> FlashAttention:
        """What came of it: `auto` is on where the devices can."""
        return asked if asked != "auto" else "on" if self._flash_attention else "off"

    def held(self) -> tuple[Held, ...]:
        return tuple(Held(device=device, use=use, bytes=size) for (device, use), size in self._bytes.items() if size)


def refuse_what_cannot_fit(order: Load, kv_bytes: int = 0) -> None:
    """Raises TooLittleMemory for a model that is larger than the memory this process may ever have. Only where all of
    it lies there: what a GPU takes cannot be told beforehand."""
    if order.gpu_layers != 0 and llama_cpp.llama_supports_gpu_offload():
        return
    parts = {"model": _size(order.model), "projector": _size(order.projector), "context": kv_bytes}
    limit = memory_limit_bytes()
    if sum(parts.values()) > limit:
        listed = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in parts.items() if size)
        raise TooLittleMemory(
            f"the model needs at least {sum(parts.values()) / 2**30:.1f} GiB of memory ({listed}) and this process may "
            f"have {limit / 2**30:.1f} GiB: take a smaller model, fewer PORTCULLIS_ENGINE_CONTEXT_TOKENS or a machine "
            "with more"
        )


def kv_cache_bytes(model: Any, cells: int, keys: KvType, values: KvType) -> int:
    """About what the context's cells will take. Models that keep cells for some of their layers only take less."""
    name = _metadata(model, "general.architecture") or ""
    layers, heads = int(llama_cpp.llama_model_n_layer(model)), int(llama_cpp.llama_model_n_head_kv(model))
    usual = int(llama_cpp.llama_model_n_embd(model)) // max(1, int(llama_cpp.llama_model_n_head(model)))
    key = int(_metadata(model, f"{name}.attention.key_length") or usual)
    value = int(_metadata(model, f"{name}.attention.value_length") or usual)
    if _metadata(model, f"{name}.attention.key_length_mla") is not None:
        # Latent attention keeps one row a cell, of which keys and values are both made.
        heads, value = 1, 0
    return math.ceil(cells * layers * heads * (key * _BITS[keys] + value * _BITS[values]) / 8)


def memory_limit_bytes() -> int:
    """What the machine has, or less where the container or service may have less (Linux)."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in _own_cgroups():
        try:
            limits.append(int((folder / "memory.max").read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(limits)


def resident_bytes() -> int:
    """RAM that this process holds now (Linux; 0 elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _own_cgroups() -> list[Path]:
    """The process's own group (version 2) and those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")), None)
    if own is None:
        return []
    folder = _CGROUPS / own
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(_CGROUPS))]


def _metadata(model: Any, key: str) -> str | None:
    text = ctypes.create_string_buffer(256)
    length = llama_cpp.llama_model_meta_val_str(model, key.encode(), text, len(text))
    return text.value.decode("utf-8", "replace") if length >= 0 else None


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _bytes(found: re.Match[str]) -> int:
    return round(float(found["mib"]) * 2**20)
