"""One picture's way into the context: cut up, encoded, decoded into a sequence that its questions are forked from."""

import ctypes
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp

from app.engine.worker import decode
from app.engine.worker.decode import Fault
from app.engine.worker.encodings import Encoding, Encodings
from app.engine.worker.model import Model
from app.engine.worker.protocol import Ask, Load

_NO_CALLBACK = mtmd_cpp.mtmd_helper_post_decode_callback(0)


class UnusableEncoding(Exception):
    """The encoder's numbers are not numbers. In the shared cells they would poison everybody's sums."""


class TooLarge(Fault):
    """The picture's tokens see each other and are more than any step holds: llama.cpp aborts on it."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokenized prompt up to the question: `cells` of the context in all, `picture_tokens` of them the picture.
    `positions` are fewer where a picture's tokens lie in rows and columns (M-RoPE). `opening` is the text before the
    picture, the same for nearly all. Freed by `close`."""

    chunks: Any
    cells: int
    positions: int
    picture_tokens: int
    opening: tuple[int, ...]
    digest: bytes

    def close(self) -> None:
        mtmd_cpp.mtmd_input_chunks_free(self.chunks)


def tokenize(model: Model, form: Load, ask: Ask, rgb: bytes) -> Prefix:
    """Scales the picture down to the token budget and cuts it up; does not run the model. Raises Fault, TooLarge."""
    if len(rgb) != ask.width * ask.height * 3:
        raise Fault(f"{len(rgb)} bytes are not {ask.width}x{ask.height} RGB pixels")
    # llama.cpp makes its own copy.
    pixels = ctypes.cast(ctypes.c_char_p(rgb), ctypes.POINTER(ctypes.c_uint8))
    bitmap = mtmd_cpp.mtmd_bitmap_init(ask.width, ask.height, pixels)
    chunks = mtmd_cpp.mtmd_input_chunks_init()
    try:
        _tokenize(model, chunks, form, bitmap)
        _refuse_what_no_step_holds(model, chunks)
    except BaseException:
        mtmd_cpp.mtmd_input_chunks_free(chunks)
        raise
    finally:
        mtmd_cpp.mtmd_bitmap_free(bitmap)
    digest = hashlib.sha256(b"%d %d " % (ask.width, ask.height))
    digest.update(rgb)
    pieces = list(_chunks(chunks))
    pictures = [int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)) for chunk in pieces if _is_picture(chunk)]
    return Prefix(
        chunks=chunks,
        cells=int(mtmd_cpp.mtmd_helper_get_n_tokens(chunks)),
        positions=int(mtmd_cpp.mtmd_helper_get_n_pos(chunks)),
        picture_tokens=sum(pictures),
        opening=() if not pieces or _is_picture(pieces[0]) else _text(pieces[0]),
        digest=digest.digest(),
    )


def evaluate(model: Model, encodings: Encodings, prefix: Prefix, sequence: int, shared: int) -> Iterator[int]:
    """Runs the prefix into the sequence, which already holds the first `shared` tokens of the opening. A step at each
    `next`, so that others get their turn in between; each gives the position after it. Raises Fault, UnusableEncoding.
    """
    position = 0
    for index, chunk in enumerate(_chunks(prefix.chunks)):
        if not _is_picture(chunk):
            tokens = _text(chunk)[shared if index == 0 else 0 :]
            position += shared if index == 0 else 0
            decode.feed(model, tokens, position, sequence)
            position += len(tokens)
            if tokens:
                yield position
            continue
        encoding = encodings.get((prefix.digest, index))
        if encoding is None:
            encoding = _encode(model, chunk)
            encodings.put((prefix.digest, index), encoding)
            yield position
        position = _decode(model, chunk, encoding, position, sequence)
        yield position


def _encode(model: Model, chunk: Any) -> Encoding:
    _check("encode", mtmd_cpp.mtmd_encode_chunk(model.projector, chunk))
    shape = (int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)), model.embedding_floats)
    # A copy: the next picture overwrites it.
    encoding: Encoding = np.ctypeslib.as_array(mtmd_cpp.mtmd_get_output_embd(model.projector), shape).copy()
    if not np.isfinite(encoding).all():
        raise UnusableEncoding
    return encoding


def _decode(model: Model, chunk: Any, encoding: Encoding, position: int, sequence: int) -> int:
    after = llama_cpp.llama_pos(0)
    _check(
        "decode_image",
        mtmd_cpp.mtmd_helper_decode_image_chunk(
            model.projector,
            model.context,
            chunk,
            encoding.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            position,
            sequence,
            model.batch_tokens,
            ctypes.byref(after),
            _NO_CALLBACK,
            None,
        ),
    )
    return int(after.value)


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


def _refuse_what_no_step_holds(model: Model, chunks: Any) -> None:
    if not model.sees_whole:
        return
    for chunk in _chunks(chunks):
        tokens = int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk))
        if _is_picture(chunk) and tokens > model.step_tokens:
            raise TooLarge(f"a picture of {tokens} tokens does not fit in a step of {model.step_tokens}")


def _text(chunk: Any) -> tuple[int, ...]:
    count = ctypes.c_size_t(0)
    tokens = mtmd_cpp.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
    return tuple(tokens[: count.value])


def _chunks(chunks: Any) -> Iterator[Any]:
    for index in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
        yield mtmd_cpp.mtmd_input_chunks_get(chunks, index)


def _is_picture(chunk: Any) -> bool:
    return bool(mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE)


def _check(call: str, code: int) -> None:
    if code != 0:
        raise Fault(f"{call} failed with code {code}")
