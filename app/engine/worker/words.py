"""A yes/no answer read off the logits: not text, but two probabilities over the whole vocabulary."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelFileCorrupt

Logits = NDArray[np.float32]

#: So many are worked on together: few enough for a processor's own caches.
_BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class WordTokens:
    """The first tokens that begin a yes and a no. The two sets share none."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def word_tokens(
    yes_words: Sequence[str],
    no_words: Sequence[str],
    tokenize: Callable[[str], Sequence[int]],
    piece: Callable[[int], bytes],
) -> WordTokens:
    """Which first tokens count. A word that is one token does. Of a longer word the first token does only if it is a
    whole character of a script without spaces (没 of 没有), since a letter or a part of a character begins too many
    other words, and only if no word of the other side begins with it too.

    Raises ModelFileCorrupt when a side is left without any token.
    """
    yes_whole, yes_first = _split(yes_words, tokenize, piece)
    no_whole, no_first = _split(no_words, tokenize, piece)
    yes = (yes_whole - no_whole) | (yes_first - no_whole - no_first)
    no = (no_whole - yes_whole) | (no_first - yes_whole - yes_first)
    for side, tokens in (("yes", yes), ("no", no)):
        if not tokens:
            raise ModelFileCorrupt(f"this model's tokenizer has no token of its own for any {side} word")
    return WordTokens(tuple(sorted(yes)), tuple(sorted(no)))


def log_total(logits: Logits) -> float | None:
    """The natural logarithm of the sum of their exponentials, to about 1e-7 (`log_probability`). None when it is not
    finite.

    A vocabulary is a megabyte of numbers, and on a GPU everything else waits meanwhile. So exponentials have 32 bits,
    as logits do, and only their sum has 64; and it goes by blocks, for what is made on the way to be small.
    """
    top = logits.max()
    if not math.isfinite(top):
        return None
    total = 0.0
    for start in range(0, logits.size, _BLOCK):
        block = logits[start : start + _BLOCK] - top
        total += float(np.exp(block, out=block).sum(dtype=np.float64))
    return float(top) + math.log(total)


def log_probability(logit: float, total: float) -> float:
    """Of what has this logit, or this `log_total`, among all that have the total: never above 0, whatever the last
    digits say."""
    return min(0.0, float(logit) - total)


def log_probabilities(logits: Logits, tokens: WordTokens) -> tuple[float, float] | None:
    """Natural logarithms of P(yes words) and P(no words) over the whole vocabulary; None when they are not finite."""
    total = log_total(logits)
    if total is None:
        return None
    sides = (log_total(logits[list(side)]) for side in (tokens.yes, tokens.no))
    log_yes, log_no = (-math.inf if side is None else log_probability(side, total) for side in sides)
    return (log_yes, log_no) if math.isfinite(log_yes) and math.isfinite(log_no) else None


def _split(
    words: Sequence[str], tokenize: Callable[[str], Sequence[int]], piece: Callable[[int], bytes]
) -> tuple[set[int], set[int]]:
    """Tokens that are a word, and tokens that begin one."""
    tokenized = [tokenize(word) for word in words]
    whole = {tokens[0] for tokens in tokenized if len(tokens) == 1}
    first = {tokens[0] for tokens in tokenized if len(tokens) > 1 and _stands_alone(piece(tokens[0]))}
    return whole, first - whole


def _stands_alone(first: bytes) -> bool:
    try:
        text = first.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.isalpha() and not text.isascii()
