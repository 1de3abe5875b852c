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
    tokenize: Callable[[str], list[int]],
    piece: Callable[[int], bytes],
) -> WordTokens:
    """Which first tokens count. A word that is one token does. Of a longer word the first token does only if it is a
    whole character of a script without spaces (没 of 没有): a letter or a part of a character begins too many other
    words. A token that begins words of both sides counts for neither.

    Raises ModelFileCorrupt when a side is left without any token.
    """
    yes = _first_tokens(yes_words, tokenize, piece)
    no = _first_tokens(no_words, tokenize, piece)
    only_yes, only_no = tuple(sorted(yes - no)), tuple(sorted(no - yes))
    for side, tokens in (("yes", only_yes), ("no", only_no)):
        if not tokens:
            raise ModelFileCorrupt(f"this model's tokenizer has no token of its own for any {side} word")
    return WordTokens(only_yes, only_no)


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


def _first_tokens(
    words: Sequence[str], tokenize: Callable[[str], list[int]], piece: Callable[[int], bytes]
) -> set[int]:
    found = set()
    for word in words:
        tokens = tokenize(word)
        if len(tokens) == 1 or (len(tokens) > 1 and _stands_alone(piece(tokens[0]))):
            found.add(tokens[0])
    return found


def _stands_alone(first: bytes) -> bool:
    try:
        text = first.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.isalpha() and not text.isascii()
