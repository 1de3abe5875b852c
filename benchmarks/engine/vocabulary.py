"""A vocabulary that spells the benchmark's own texts as a real one does, and is as large."""

import re
from collections.abc import Iterator, Sequence

import gguf

from benchmarks.engine.questions import CAPTION, PROBES, READING


def write_vocabulary(writer: gguf.GGUFWriter, count: int, special: Sequence[str], template: str) -> None:
    """Bytes, the words of the benchmark's questions (so that they are as long as with a real vocabulary), filling, and
    the `special` tokens, of which the first begins a text and the second ends one."""
    known = dict.fromkeys([*_letters().values(), *_words()])
    filling = (f"unused{n}" for n in range(count))
    plain = [*known, *filling][: count - len(special)]
    tokens = [*plain, *special]
    writer.add_tokenizer_model("gpt2")
    # Of those that look a whole word up in the vocabulary, without merges that lead to it.
    writer.add_tokenizer_pre("youtu")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(plain) + [gguf.TokenType.CONTROL] * len(special))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(tokens.index(special[0]))
    writer.add_eos_token_id(tokens.index(special[1]))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _words() -> Iterator[str]:
    letters = _letters()
    texts = [*PROBES, READING, CAPTION, "You are a helpful assistant.", "system user assistant Yes No yes no Yes. No."]
    for word in re.findall(r"[A-Za-z]+", " ".join(texts)):
        for spelled in (word, f" {word}"):
            yield "".join(letters[byte] for byte in spelled.encode())


def _letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(rest)}
