"""llama.cpp's own settings, and which of them go together."""

from dataclasses import dataclass
from typing import Literal

from app.errors import ConfigurationError

FlashAttention = Literal["auto", "on", "off"]
#: How a KV cell's keys or values are stored.
KvType = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]

QUANTIZED: frozenset[KvType] = frozenset({"q8_0", "q4_0"})


@dataclass(frozen=True, slots=True)
class Runtime:
    """What llama.cpp is told besides the files. Raises ConfigurationError for what cannot go together.

    `gpu_layers`: -1 puts all on the GPU, 0 none. `threads`: 0 takes one per core, at most 8. `context_tokens` are the
    KV cells that all pictures in work, their questions and their generated answers share (`n_ctx`). `batch_tokens`
    (`n_batch`) is the most that is given to llama.cpp at once and `ubatch_tokens` (`n_ubatch`) the most that it
    computes at once: also the size of one decode step, so that none takes much longer than another. Both are cut to
    the context. `mmap` maps the model's file instead of reading it, `mlock` forbids the system to swap it out.
    Of an answer that grows at most `draft_tokens` are guessed and read along in a step, 0 none.
    """

    gpu_layers: int = -1
    threads: int = 0
    context_tokens: int = 8192
    batch_tokens: int = 2048
    ubatch_tokens: int = 512
    flash_attention: FlashAttention = "auto"
    kv_type_k: KvType = "f16"
    kv_type_v: KvType = "f16"
    mmap: bool = True
    mlock: bool = False
    draft_tokens: int = 7

    def __post_init__(self) -> None:
        if self.ubatch_tokens > self.batch_tokens:
            raise ConfigurationError(
                f"PORTCULLIS_ENGINE_UBATCH_TOKENS ({self.ubatch_tokens}) is above PORTCULLIS_ENGINE_BATCH_TOKENS "
                f"({self.batch_tokens}): what is computed at once is part of what is given at once"
            )
        if self.kv_type_v in QUANTIZED and self.flash_attention == "off":
            raise ConfigurationError(
                f"PORTCULLIS_ENGINE_KV_TYPE_V={self.kv_type_v} needs flash attention: llama.cpp stores values in fewer "
                "bits only with it; set PORTCULLIS_ENGINE_FLASH_ATTENTION to auto or on"
            )
