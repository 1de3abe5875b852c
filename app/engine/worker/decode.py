"""Tokens of many sequences through the model in one batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import llama_cpp
import numpy as np

from app.engine.worker.model import Model
from app.engine.worker.words import Logits

#: Keeps the opening of the prompt, which every picture's sequence begins with.
OPENING_SEQUENCE = 0


class Fault(Exception):
    """llama.cpp reported an error; the text says which call and code."""


@dataclass(slots=True, eq=False)
class Entry:
    """One token of a batch, read once into one cell for all of `sequences`, which hold the same before it. `wanted` are
    those of them that need the logits after it."""

    token: int
    position: int
    sequences: list[int]
    wanted: list[int]


def entry(token: int, position: int, sequence: int, wanted: bool) -> Entry:
    """Of one sequence alone."""
    return Entry(token, position, [sequence], [sequence] if wanted else [])


def fork(model: Model, source: int, sequence: int, upto: int = -1) -> None:
    """Let a sequence begin as another does, with its first `upto` positions (-1: all). Costs no cells: they are
    shared."""
    llama_cpp.llama_memory_seq_cp(model.memory, source, sequence, -1 if upto < 0 else 0, upto)


def drop(model: Model, sequence: int, start: int = -1) -> None:
    """Forget a sequence, or what it holds from position `start` on."""
    llama_cpp.llama_memory_seq_rm(model.memory, sequence, start, -1)


def forget(model: Model, *, wipe: bool) -> None:
    """Empty the context. `wipe` also zeroes the cells: a NaN left in one would poison sums even where it is masked."""
    llama_cpp.llama_memory_clear(model.memory, wipe)


def feed(model: Model, tokens: Sequence[int], position: int, sequence: int) -> None:
    """Tokens into one sequence, for what comes after them. Raises Fault."""
    for _ in decode(model, [entry(token, position + n, sequence, False) for n, token in enumerate(tokens)]):
        raise AssertionError("no logits were wanted")


def decode(model: Model, entries: Sequence[Entry]) -> Iterator[tuple[int, Logits]]:
    """Sequence and logits for each that wants them, in order. The logits are llama.cpp's own memory: to be read before
    the next is taken. Raises Fault."""
    for batch in _batches(entries, model.batch_tokens, model.outputs):
        yield from _decode_batch(model, batch)


def _batches(entries: Sequence[Entry], tokens: int, outputs: int) -> Iterator[list[Entry]]:
    """In order, none with more tokens or more wanted logits than these: llama.cpp ends the process over one more."""
    batch: list[Entry] = []
    wanted = 0
    for one in entries:
        if len(batch) == tokens or (one.wanted and wanted == outputs):
            yield batch
            batch, wanted = [], 0
        batch.append(one)
        wanted += bool(one.wanted)
    if batch:
        yield batch


def _decode_batch(model: Model, entries: Sequence[Entry]) -> Iterator[tuple[int, Logits]]:
    batch = llama_cpp.llama_batch_init(len(entries), 0, max(len(one.sequences) for one in entries))
    try:
        # Each look at a field makes a pointer anew.
        token, pos, n_seq_id, seq_id, wanted = batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits
        for index, one in enumerate(entries):
            token[index] = one.token
            pos[index] = one.position
            n_seq_id[index] = len(one.sequences)
            own = seq_id[index]
            for place, sequence in enumerate(one.sequences):
                own[place] = sequence
            wanted[index] = bool(one.wanted)
        batch.n_tokens = len(entries)
        code = llama_cpp.llama_decode(model.context, batch)
        if code != 0:
            raise Fault(f"decode failed with code {code}")
    finally:
        llama_cpp.llama_batch_free(batch)
    for index, one in enumerate(entries):
        if one.wanted:
            row = llama_cpp.llama_get_logits_ith(model.context, index)
            logits = np.ctypeslib.as_array(row, (model.vocab_tokens,))
            for sequence in one.wanted:
                yield sequence, logits
