"""One picture into sequence 0 of the context: encoded once, shared by everything that is asked of it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llama_cpp
from llama_cpp import mtmd_cpp

from app.engine.worker.model import Model
from app.engine.worker.protocol import Ask, Load

_NO_CALLBACK = mtmd_cpp.mtmd_helper_post_decode_callback(0)
PICTURE_SEQUENCE = 0


class Fault(Exception):
    """llama.cpp reported an error; the text says which call and code."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokenized prompt up to the question. `cells` of the context in all, `picture_tokens` of them the picture."""

    chunks: Any
    cells: int
    picture_tokens: int


@contextmanager
def tokenized(model: Model, form: Load, ask: Ask, rgb: bytes) -> Iterator[Prefix]:
    """Scales the picture down to the token budget and cuts it up; does not run the model. Raises Fault."""
    if len(rgb) != ask.width * ask.height * 3:
        raise Fault(f"{len(rgb)} bytes are not {ask.width}x{ask.height} RGB pixels")
    pixels = (ctypes.c_uint8 * len(rgb)).from_buffer_copy(rgb)
    bitmap = mtmd_cpp.mtmd_bitmap_init(ask.width, ask.height, pixels)
    chunks = mtmd_cpp.mtmd_input_chunks_init()
    try:
        _tokenize(model, chunks, form, bitmap)
        yield Prefix(
            chunks=chunks,
            cells=int(mtmd_cpp.mtmd_helper_get_n_tokens(chunks)),
            picture_tokens=sum(
                int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)) for chunk in _chunks(chunks) if _is_picture(chunk)
            ),
        )
    finally:
        mtmd_cpp.mtmd_input_chunks_free(chunks)
        mtmd_cpp.mtmd_bitmap_free(bitmap)


def evaluate(model: Model, prefix: Prefix) -> Iterator[int]:
    """Runs the prefix through the model, a step at each `next`, so that the caller can stop in between. Each step
    gives the position after it. Raises Fault."""
    position = llama_cpp.llama_pos(0)
    for chunk in _chunks(prefix.chunks):
        if not _is_picture(chunk):
            _check(
                "eval_chunk",
                mtmd_cpp.mtmd_helper_eval_chunk_single(
                    model.projector,
                    model.context,
                    chunk,
                    position,
                    PICTURE_SEQUENCE,
                    model.batch_tokens,
                    False,
                    ctypes.byref(position),
                ),
            )
            yield int(position.value)
            continue
        _check("encode", mtmd_cpp.mtmd_encode_chunk(model.projector, chunk))
        yield int(position.value)
        _check(
            "decode_image",
            mtmd_cpp.mtmd_helper_decode_image_chunk(
                model.projector,
                model.context,
                chunk,
                mtmd_cpp.mtmd_get_output_embd(model.projector),
                position,
                PICTURE_SEQUENCE,
                model.batch_tokens,
                ctypes.byref(position),
                _NO_CALLBACK,
                None,
            ),
        )
        yield int(position.value)


def _tokenize(model: Model, chunks: Any, form: Load, bitmap: Any) -> None:
    """In parts, so that no marker in a text can be taken for a picture."""
    texts = [text.encode() for text in (form.before_picture, form.after_picture)]
    # text_len must be set, or the text counts as empty.
    inputs = [mtmd_cpp.mtmd_input_text(text, len(text), False, True) for text in texts]
    parts = [mtmd_cpp.mtmd_input_part(ctypes.pointer(given), None) for given in inputs]
    parts.insert(1, mtmd_cpp.mtmd_input_part(None, bitmap))
    if not form.after_picture:
        parts.pop()
    pointers = (ctypes.POINTER(mtmd_cpp.mtmd_input_part) * len(parts))(*map(ctypes.pointer, parts))
    _check(
        "tokenize",
        mtmd_cpp.mtmd_tokenize_from_parts(model.projector, chunks, pointers, len(parts), False),
    )


def _chunks(chunks: Any) -> Iterator[Any]:
    for index in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
        yield mtmd_cpp.mtmd_input_chunks_get(chunks, index)


def _is_picture(chunk: Any) -> bool:
    return bool(mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE)


def _check(call: str, code: int) -> None:
    if code != 0:
        raise Fault(f"{call} failed with code {code}")
