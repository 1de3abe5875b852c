"""The two kinds of tokenizer that nearly all models have, with next to no words."""

from collections.abc import Sequence

from benchmarks.engine.gguf_file import Metadata

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_WORDS = ("Yes", "No", "yes", "no")


def byte_pairs(special: Sequence[str], *, pre: str, end: str) -> dict[str, object]:
    """As Qwen's: every byte is a letter, and merges make words of them. No beginning-of-text token."""
    letters = _gpt2_letters()
    space = letters[ord(" ")]
    merges: dict[str, None] = {}
    for word in _WORDS:
        for cut in range(1, len(word)):
            merges[f"{word[:cut]} {word[cut]}"] = None
        merges[f"{space} {word}"] = None
    tokens = [*letters.values(), *dict.fromkeys(merge.replace(" ", "") for merge in merges), *special]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL if token in special else _NORMAL for token in tokens],
        "tokenizer.ggml.merges": list(merges),
        "tokenizer.ggml.eos_token_id": tokens.index(end),
        "tokenizer.ggml.add_bos_token": False,
    }


def pieces(special: Sequence[str], *, begin: str, end: str, space_prefix: bool) -> dict[str, object]:
    """As Llama's and Gemma's (SentencePiece): every text begins with a space or not, every prompt with a token that
    is in no template of Llama's and in all of Gemma's."""
    control = ["<unk>", *special]
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    words = dict.fromkeys(["▁", *(chr(code) for code in range(33, 127))])
    for word in _WORDS:
        words |= dict.fromkeys([word[: cut + 1] for cut in range(1, len(word))])
        words[f"▁{word}"] = None
    tokens = [*control, *raw, *words]
    types = [_UNKNOWN] + [_CONTROL] * len(special) + [_BYTE] * len(raw) + [_NORMAL] * len(words)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": [0.0] * (len(control) + len(raw)) + [-float(n) for n in range(len(words))],
        "tokenizer.ggml.bos_token_id": tokens.index(begin),
        "tokenizer.ggml.eos_token_id": tokens.index(end),
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": space_prefix,
    }


def size(vocabulary: Metadata) -> int:
    tokens = vocabulary["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    return len(tokens)


def _gpt2_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(rest)}
