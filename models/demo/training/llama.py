"""llama.cpp asked plainly, one whole prompt at a time: what the parity check holds against PyTorch.

The engine of the service shares a picture between its questions; this does not, and so checks that as well.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp

_CONTEXT_TOKENS = 1024
#: Where the picture goes into the prompt; llama.cpp puts its own marks around it.
_MARKER = mtmd_cpp.mtmd_default_marker().decode()
_BEFORE = "<|begin_of_text|>system\nYou are a helpful assistant.<|end_of_text|>\n<|begin_of_text|>user\n"
_AFTER = "<|end_of_text|>\n<|begin_of_text|>assistant\n"


@llama_cpp.llama_log_callback
def _silent(_level: int, _text: bytes, _data: Any) -> None:
    pass


class Llama:
    """One context, one thread. Lives as long as the process."""

    def __init__(self, model: Path, projector: Path, *, picture_tokens: int) -> None:
        nothing = ctypes.c_void_p(0)
        llama_cpp.llama_log_set(_silent, nothing)
        mtmd_cpp.mtmd_log_set(_silent, nothing)
        mtmd_cpp.mtmd_helper_log_set(_silent, nothing)
        llama_cpp.llama_backend_init()
        self._model = _load_model(model)
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = _CONTEXT_TOKENS
        params.n_threads = params.n_threads_batch = 1
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        settings = mtmd_cpp.mtmd_context_params_default()
        settings.n_threads = 1
        settings.print_timings = False
        settings.image_max_tokens = picture_tokens
        self._projector = mtmd_cpp.mtmd_init_from_file(str(projector).encode(), self._model, settings)
        if not self._context or not self._projector:
            raise RuntimeError(f"llama.cpp cannot load {model} with {projector}")

    def logits(self, pixels: np.ndarray, prompt: str) -> np.ndarray:
        """(vocabulary,) float32: the logits of the first token of the answer."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        position = llama_cpp.llama_pos(0)
        with self._chunks(pixels, prompt) as chunks:
            code = mtmd_cpp.mtmd_helper_eval_chunks(
                self._projector, self._context, chunks, 0, 0, _CONTEXT_TOKENS, True, ctypes.byref(position)
            )
        if code != 0:
            raise RuntimeError(f"eval_chunks failed with code {code}")
        row = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(row, (llama_cpp.llama_vocab_n_tokens(self._vocabulary),)).copy()

    def picture_tokens(self, pixels: np.ndarray) -> int:
        """How many tokens llama.cpp makes of a picture."""
        with self._chunks(pixels, "") as chunks:
            picked = (mtmd_cpp.mtmd_input_chunks_get(chunks, n) for n in range(mtmd_cpp.mtmd_input_chunks_size(chunks)))
            image = mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE
            pictures = [c for c in picked if mtmd_cpp.mtmd_input_chunk_get_type(c) == image]
            return sum(int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(c)) for c in pictures)

    def tokens(self, text: str) -> list[int]:
        raw = text.encode()
        found = (llama_cpp.llama_token * (len(raw) + 8))()
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), found, len(found), False, True)
        return list(found[:count])

    @contextmanager
    def _chunks(self, pixels: np.ndarray, prompt: str) -> Iterator[Any]:
        raw = np.ascontiguousarray(pixels).tobytes()
        bitmap = mtmd_cpp.mtmd_bitmap_init(
            pixels.shape[1], pixels.shape[0], (ctypes.c_uint8 * len(raw)).from_buffer_copy(raw)
        )
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        text = f"{_BEFORE}{_MARKER}{prompt}{_AFTER}".encode()
        given = mtmd_cpp.mtmd_input_text(text, len(text), False, True)
        bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
        try:
            code = mtmd_cpp.mtmd_tokenize(self._projector, chunks, ctypes.byref(given), bitmaps, 1)
            if code != 0:
                raise RuntimeError(f"tokenize failed with code {code}")
            yield chunks
        finally:
            mtmd_cpp.mtmd_input_chunks_free(chunks)
            mtmd_cpp.mtmd_bitmap_free(bitmap)


def _load_model(path: Path) -> Any:
    params = llama_cpp.llama_model_default_params()
    # With AMX's buffer types llama.cpp aborts on the weights of latent attention.
    params.use_extra_bufts = False
    params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    return model
