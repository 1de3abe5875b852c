"""What answers to the same question have said before, as n-grams of tokens. Pure.

A model describes pictures in much the same words ("The image shows a …"), so what it said after the last few tokens is
a fair guess at what it says after them now. This is the n-gram lookup of speculative decoding: Yang et al., Inference
with Reference, 2023; llama.cpp's `lookup` example; Oliaro et al., SuffixDecoding, 2024.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: Contexts of so many tokens, the longest first.
_ORDERS = (4, 3, 2, 1)
#: A context met so often is believed without a look at shorter ones.
_ENOUGH = 3
_BEGINNING, _END = -2, -1
#: In each of the two generations; one takes about 150 bytes.
_MOST_CONTEXTS = 40_000


class Guess(NamedTuple):
    """`chance` is that of this token and all that were guessed before it, together."""

    token: int
    chance: float


@dataclass(slots=True)
class _Met:
    """A context: how often in all, what followed and how often at least. `lead` is the vote of Boyer and Moore by which
    another token takes its place."""

    token: int
    count: int = 1
    lead: int = 1
    total: int = 1

    def add(self, token: int) -> None:
        self.total += 1
        if token == self.token:
            self.count += 1
            self.lead += 1
            return
        self.lead -= 1
        if self.lead < 0:
            self.token, self.count, self.lead = token, 1, 1


class Ngrams:
    """Of bounded memory: when the young generation is full it becomes the old one, and that is forgotten. What was met
    again in between is in the young one by then."""

    def __init__(self, most_contexts: int = _MOST_CONTEXTS) -> None:
        self._most = most_contexts
        self._young: dict[int, _Met] = {}
        self._old: dict[int, _Met] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def learn(self, question: Sequence[int], answer: Sequence[int], *, whole: bool) -> None:
        """That the question got this answer, which is `whole` where the model ended it itself."""
        said = [_BEGINNING, *answer, *([_END] if whole else [])]
        begin = hash(tuple(question))
        for end in range(1, len(said)):
            for key in _contexts(begin, said, end):
                self._add(key, said[end])

    def go_on(self, question: Sequence[int], answer: Sequence[int], most: int) -> list[Guess]:
        """What may come next, at most so many tokens; fewer where nothing is known, or the answer may end."""
        said, begin, chance = [_BEGINNING, *answer], hash(tuple(question)), 1.0
        guesses: list[Guess] = []
        while len(guesses) < most:
            token, likely = self._next(begin, said)
            if token == _END:
                break
            chance *= likely
            guesses.append(Guess(token, chance))
            said.append(token)
        return guesses

    def _next(self, begin: int, said: Sequence[int]) -> tuple[int, float]:
        best = (_END, 0.0)
        for key in _contexts(begin, said, len(said)):
            met = self._young.get(key) or self._old.get(key)
            if met is None:
                continue
            # One more than was counted: what was met once is no certainty.
            likely = met.count / (met.total + 1)
            if likely > best[1]:
                best = (met.token, likely)
            if met.total >= _ENOUGH:
                break
        return best

    def _add(self, key: int, token: int) -> None:
        met = self._young.get(key)
        if met is not None:
            met.add(token)
            return
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        met = self._old.pop(key, None)
        if met is None:
            met = _Met(token)
        else:
            met.add(token)
        self._young[key] = met


def _contexts(begin: int, said: Sequence[int], end: int) -> Iterator[int]:
    """Keys of those before `end`, the longest first. Two that share one by chance are taken for one, which costs a
    wrong guess."""
    for order in _ORDERS:
        if order <= end:
            yield hash((begin, *said[end - order : end]))
