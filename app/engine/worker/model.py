"""Loading model, context and projector."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp import mtmd_cpp

from app.engine.worker import logs
from app.engine.worker.protocol import Load
from app.errors import EngineUnavailable, ModelFileCorrupt

#: Tokens given to the model at once: llama.cpp's own defaults (logical and physical batch).
_BATCH_TOKENS = 2048
_UBATCH_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Model:
    """Handles of llama.cpp (opaque pointers). One context, one thread: concurrent calls on it crash.

    `context_tokens` are the cells that all sequences share, `sequence_tokens` the most that one of them may have: a
    model knows no positions beyond those it was trained on. A decode step has `step_tokens` at most, so that none takes
    much longer than another; there are `sequences` in all; a picture's token is `embedding_floats` long.

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
    embedding_floats: int
    gpu_layers: int


def load(order: Load) -> Model:
    """Raises ModelFileCorrupt for files that llama.cpp refuses, EngineUnavailable when there is no room for them."""
    logs.forward_native_logs()
    llama_cpp.llama_backend_init()
    model = _load_model(order)
    context = _load_context(model, order)
    projector = _load_projector(model, order)
    vocab = llama_cpp.llama_model_get_vocab(model)
    cells = int(llama_cpp.llama_n_ctx(context))
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
        embedding_floats=int(llama_cpp.llama_model_n_embd_inp(model)),
        gpu_layers=_layers_on_gpu(model, order.gpu_layers),
    )


def describe(model: Any) -> str:
    """llama.cpp's words for it, such as `deepseek2 4B Q8_0`."""
    text = ctypes.create_string_buffer(256)
    llama_cpp.llama_model_desc(model, text, len(text))
    return text.value.decode("utf-8", "replace")


def model_bytes(model: Any) -> int:
    return int(llama_cpp.llama_model_size(model))


def resident_bytes() -> int:
    """RAM that this process holds now (Linux; 0 elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _load_model(order: Load) -> Any:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = order.gpu_layers
    # With the CPU's extra buffer types (AMX, repacking) llama.cpp aborts on Youtu-VL when it makes the context:
    # "GGML_ASSERT(*cur_backend_id != -1) failed".
    params.use_extra_bufts = False
    model = llama_cpp.llama_model_load_from_file(order.model.encode(), params)
    if not model:
        raise ModelFileCorrupt(
            f"llama.cpp cannot load the model {order.model}: {logs.last_error() or 'no reason given'}"
        )
    return model


def _load_context(model: Any, order: Load) -> Any:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = order.context_tokens
    params.n_batch = min(_BATCH_TOKENS, order.context_tokens)
    params.n_ubatch = min(_UBATCH_TOKENS, order.context_tokens)
    # One for the opening, one for each picture and one for each question; unified cells let them share the picture.
    wanted = 1 + order.parallel_pictures + order.parallel_questions
    params.n_seq_max = min(wanted, int(llama_cpp.llama_max_parallel_sequences()))
    params.kv_unified = True
    params.n_threads = order.threads
    params.n_threads_batch = order.threads
    params.no_perf = True
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise EngineUnavailable(
            f"no room for a context of {order.context_tokens} tokens: {logs.last_error() or 'no reason given'}"
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
        reason = logs.last_error() or "no reason given"
        raise ModelFileCorrupt(f"llama.cpp cannot load the projector {order.projector}: {reason}")
    if not mtmd_cpp.mtmd_support_vision(projector):
        raise ModelFileCorrupt(f"the projector {order.projector} is not one for pictures")
    return projector


def _layers_on_gpu(model: Any, asked: int) -> int:
    if not llama_cpp.llama_supports_gpu_offload():
        return 0
    # The output layer counts as one more, as llama.cpp itself reports it.
    layers = int(llama_cpp.llama_model_n_layer(model)) + 1
    return layers if asked < 0 else min(asked, layers)
