"""Whether to compute in bfloat16."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

#: Processors as PyTorch names what it can use of them. The others compute products of bfloat16 number by number, 25
#: times slower than in float32 (measured on one with AVX2).
_WITH_BFLOAT16 = ("AVX512", "AVX512_VNNI", "AVX512_BF16", "AMX", "AMX_FP16", "SVE256")


def fast_type(device: str) -> torch.dtype:
    """The type in which products are quickest on `device`, a name as PyTorch's (`cpu`, `cuda:0`)."""
    slow = device == "cpu" and torch.backends.cpu.get_cpu_capability() not in _WITH_BFLOAT16
    return torch.float32 if slow else torch.bfloat16


def autocast(device: str) -> AbstractContextManager[Any]:
    kind = fast_type(device)
    return nullcontext() if kind is torch.float32 else torch.autocast(device.partition(":")[0], kind)
