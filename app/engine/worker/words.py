"""A yes/no answer read off the logits: not text, but two probabilities over the whole vocabulary."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelFileCorrupt

Logits = NDArray[np.float32]


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


def log_softmax(logits: Logits) -> NDArray[np.float64] | None:
    """Natural logarithms of the probabilities of the whole vocabulary; None when they are not finite."""
    values = logits.astype(np.float64)
    top = values.max()
    if not math.isfinite(top):
        return None
    found: NDArray[np.float64] = values - top - math.log(np.exp(values - top).sum())
    return found


def log_probabilities(logits: Logits, tokens: WordTokens) -> tuple[float, float] | None:
    """Natural logarithms of P(yes words) and P(no words) over the whole vocabulary; None when they are not finite."""
    values = logits.astype(np.float64)
    top = values.max()
    if not math.isfinite(top):
        return None
    total = math.log(np.exp(values - top).sum())
    log_yes, log_no = (_log_sum_exp(values[list(side)] - top) - total for side in (tokens.yes, tokens.no))
    return (log_yes, log_no) if math.isfinite(log_yes) and math.isfinite(log_no) else None


def _log_sum_exp(values: NDArray[np.float64]) -> float:
    top = float(values.max())
    if not math.isfinite(top):
        return top
    return top + math.log(np.exp(values - top).sum())


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
