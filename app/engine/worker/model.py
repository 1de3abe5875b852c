"""Loading model, context and projector."""

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp
from llama_cpp import mtmd_cpp

from app.engine.runtime import FlashAttention, KvType
from app.engine.worker import fitness, logs, memory
from app.engine.worker.protocol import Load
from app.errors import EngineUnavailable

_FLASH_ATTENTION: dict[FlashAttention, int] = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_KV_TYPES: dict[KvType, int] = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "bf16": 30,  # ggml.h; the bindings have no name for it
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}
#: By mmap and mlock. Where a device cannot map files, llama.cpp reads them instead unless locking is wanted too.
_LOAD_MODES = {
    (True, False): llama_cpp.LLAMA_LOAD_MODE_AUTO,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
}
#: ggml-cpu/common.h: GGML_FA_TILE_Q.
_TILE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Model:
    """Handles of llama.cpp (opaque pointers). One context, one thread: concurrent calls on it crash.

    `context_tokens` are the cells that all sequences share, `sequence_tokens` the most that one of them may have: a
    model knows no positions beyond those it was trained on. A decode step has `step_tokens` at most, so that none takes
    much longer than another; there are `sequences` in all and logits of `outputs` tokens at once; a picture's token is
    `embedding_floats` long. With `sees_whole` the tokens of a picture see each other, so they must go through in one
    step.

    Cells that have left a window of attention may be used anew: what is read again from an earlier place, as the words
    of a choice are, must lie within `window_tokens`.

    In a batch of `tile_tokens` or more, attention is computed for so many tokens together, over every cell that any of
    them sees; 0 where each has its own.

    They live as long as the process, which frees them by ending.
    """

    model: Any
    vocab: Any
    context: Any
    memory: Any
    projector: Any
    vocab_tokens: int
    context_tokens: int
    sequence_tokens: int
    batch_tokens: int
    step_tokens: int
    sequences: int
    outputs: int
    embedding_floats: int
    sees_whole: bool
    window_tokens: int
    tile_tokens: int
    gpu_layers: int


def load(order: Load) -> Model:
    """Raises ModelFileCorrupt for files that llama.cpp refuses, ModelUnsupported and ProjectorMismatch for sound ones
    that cannot serve, GpuMissing for a GPU that is not seen, TooLittleMemory for a machine they cannot fit on,
    EngineUnavailable when there is no room for them now or the settings do not suit the model."""
    logs.forward_native_logs()
    llama_cpp.llama_backend_init()
    fitness.require_gpu(order.gpu)
    memory.refuse_what_cannot_fit(order)
    model = _load_model(order)
    cells = memory.kv_cache_bytes(model, order.context_tokens, order.kv_type_k, order.kv_type_v)
    memory.refuse_what_cannot_fit(order, cells)
    projector = _load_projector(model, order)
    sees_whole = bool(mtmd_cpp.mtmd_decode_use_non_causal(projector, None))
    context = _load_context(model, order, order.picture_tokens if sees_whole else 0)
    vocab = llama_cpp.llama_model_get_vocab(model)
    cells = int(llama_cpp.llama_n_ctx(context))
    gpu_layers = _layers_on_gpu(model, order.gpu_layers)
    return Model(
        model=model,
        vocab=vocab,
        context=context,
        memory=llama_cpp.llama_get_memory(context),
        projector=projector,
        vocab_tokens=int(llama_cpp.llama_vocab_n_tokens(vocab)),
        context_tokens=cells,
        sequence_tokens=min(cells, int(llama_cpp.llama_model_n_ctx_train(model))),
        batch_tokens=int(llama_cpp.llama_n_batch(context)),
        step_tokens=int(llama_cpp.llama_n_ubatch(context)),
        sequences=int(llama_cpp.llama_n_seq_max(context)),
        outputs=int(llama_cpp.llama_n_seq_max(context)),
        embedding_floats=int(llama_cpp.llama_model_n_embd_inp(model)),
        sees_whole=sees_whole,
        window_tokens=int(llama_cpp.llama_model_n_swa(model)) or cells,
        tile_tokens=0 if gpu_layers else _tile_tokens(order),
        gpu_layers=gpu_layers,
    )


def describe(model: Any) -> str:
    """llama.cpp's words for it, such as `deepseek2 4B Q8_0`."""
    text = ctypes.create_string_buffer(256)
    llama_cpp.llama_model_desc(model, text, len(text))
    return text.value.decode("utf-8", "replace")


def _load_model(order: Load) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = order.gpu_layers
    # What is laid out anew cannot be locked.
    params.use_extra_bufts = repacks() and not order.mlock
    params.load_mode = _LOAD_MODES[order.mmap, order.mlock]
    model = llama_cpp.llama_model_load_from_file(order.model.encode(), params)
    if not model:
        raise fitness.refusal(f"llama.cpp cannot load the model {order.model}")
    fitness.require_shareable(model)
    return model


def repacks() -> bool:
    """Whether weights may be laid out anew for the processor's products, as 4-bit ones are on x86 and more on ARM. Not
    where that would be for AMX: there llama.cpp aborts on Youtu-VL when it makes the context,
    "GGML_ASSERT(*cur_backend_id != -1) failed"."""
    return b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()


def _load_context(model: Any, order: Load, least_step: int) -> Any:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = order.context_tokens
    least_step = min(least_step, order.context_tokens)
    params.n_batch = max(order.batch_tokens, least_step)
    params.n_ubatch = max(order.ubatch_tokens, least_step)
    params.flash_attn_type = _FLASH_ATTENTION[order.flash_attention]
    params.type_k = _KV_TYPES[order.kv_type_k]
    params.type_v = _KV_TYPES[order.kv_type_v]
    # One for the opening, one for each picture and one for each question; unified cells let them share the picture.
    wanted = 1 + order.parallel_pictures + order.parallel_questions
    params.n_seq_max = min(wanted, int(llama_cpp.llama_max_parallel_sequences()))
    # Logits of the whole vocabulary are large: with 283,386 tokens room for a step's every token takes 0.4 GB.
    params.n_outputs_max = params.n_seq_max
    params.kv_unified = True
    params.n_threads = order.threads
    params.n_threads_batch = order.threads
    params.no_perf = True
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise fitness.refusal(
            f"llama.cpp cannot make a context of {order.context_tokens} tokens with these settings", EngineUnavailable
        )
    return context


def _load_projector(model: Any, order: Load) -> Any:
    params = mtmd_cpp.mtmd_context_params_default()
    params.use_gpu = order.gpu_layers != 0
    params.print_timings = False
    params.n_threads = order.threads
    params.image_max_tokens = order.picture_tokens
    projector = mtmd_cpp.mtmd_init_from_file(order.projector.encode(), model, params)
    if not projector:
        raise fitness.refusal(f"llama.cpp cannot load the projector {order.projector}")
    fitness.require_eyes(projector, order.projector)
    return projector


def _tile_tokens(order: Load) -> int:
    """Of the processor's flash attention."""
    tiled = order.flash_attention != "off" and order.kv_type_k == order.kv_type_v and order.kv_type_k in {"f16", "f32"}
    return _TILE_TOKENS if tiled else 0


def _layers_on_gpu(model: Any, asked: int) -> int:
    if not llama_cpp.llama_supports_gpu_offload():
        return 0
    # The output layer counts as one more, as llama.cpp itself reports it.
    layers = int(llama_cpp.llama_model_n_layer(model)) + 1
    return layers if asked < 0 else min(asked, layers)
