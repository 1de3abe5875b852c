"""How long a decode step takes, by the tokens that it reads. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

#: What is gained must be more than what times and chances may be wrong by.
WORTH = 1.1


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured as pairs of tokens and seconds, the fewest tokens first, two at least. Between them and beyond them a
    step is taken to go on as from one to the next."""

    measured: tuple[tuple[int, float], ...]

    def seconds(self, tokens: int) -> float:
        after = bisect_left(self.measured, tokens, 1, len(self.measured) - 1, key=lambda pair: pair[0])
        one, other = self.measured[after - 1], self.measured[after]
        slope = (other[1] - one[1]) / (other[0] - one[0])
        return max(one[1] + slope * (tokens - one[0]), self.measured[0][1])

    def parted(self, tokens: Sequence[int]) -> bool:
        """Whether a step for each of these is quicker, by a tenth, than one of all their tokens: there are products of
        two tokens that take a processor longer than two of one."""
        return sum(map(self.seconds, tokens)) * WORTH < self.seconds(sum(tokens))


#: As if weights were all that takes time: whatever may help is read along.
FLAT = Pace(((1, 1.0), (2, 1.0)))


def most_for_its_time(tokens: int, chances: Sequence[float], pace: Pace, *, may_be_apart: bool = False) -> int:
    """How many of these to read along in a step of so many tokens that are certain: what makes the most tokens a
    second, where that is a tenth more than without. `chances` that each is of use, the best first. Without any, tokens
    that `may_be_apart` are in steps of their own where these are quicker."""
    apart = may_be_apart and pace.parted([1] * tokens)
    without_s = tokens * pace.seconds(1) if apart else pace.seconds(tokens)
    best, rate, expected = 0, WORTH * tokens / without_s, float(tokens)
    for count, chance in enumerate(chances, 1):
        expected += chance
        better = expected / pace.seconds(tokens + count)
        if better > rate:
            best, rate = count, better
    return best
