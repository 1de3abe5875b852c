"""A vocabulary that spells the benchmark's own texts as a real one does, and is as large."""

import re
from collections.abc import Iterator, Sequence

from benchmarks.engine.questions import CAPTION, PROBES, READING

_NORMAL, _CONTROL = 1, 3


def vocabulary(count: int, special: Sequence[str], template: str) -> dict[str, object]:
    """Bytes, the words of the benchmark's questions (so that they are as long as with a real vocabulary), filling, and
    the `special` tokens, of which the first begins a text and the second ends one."""
    known = dict.fromkeys([*_letters().values(), *_words()])
    filling = (f"unused{n}" for n in range(count))
    plain = [*known, *filling][: count - len(special)]
    tokens = [*plain, *special]
    return {
        "tokenizer.ggml.model": "gpt2",
        # Of those that look a whole word up in the vocabulary, without merges that lead to it.
        "tokenizer.ggml.pre": "youtu",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_NORMAL] * len(plain) + [_CONTROL] * len(special),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": tokens.index(special[0]),
        "tokenizer.ggml.eos_token_id": tokens.index(special[1]),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": template,
    }


def _words() -> Iterator[str]:
    letters = _letters()
    texts = [
        *PROBES,
        READING,
        CAPTION,
        "You are a helpful assistant.",
        "system user assistant model Yes No yes no Yes. No.",
    ]
    for word in re.findall(r"[A-Za-z]+", " ".join(texts)):
        for spelled in (word, f" {word}"):
            yield "".join(letters[byte] for byte in spelled.encode())


def _letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(rest)}
