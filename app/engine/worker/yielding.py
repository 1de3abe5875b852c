"""What bulk jobs may do while synchronous ones are in work. Pure.

Little, but never nothing: uploads that follow each other without a pause must not starve them for ever.
"""

#: Of the tokens that synchronous jobs read in steps, bulk jobs read as many again as one in so many. On a processor the
#: second token of a step costs half a step, and one of many about a twentieth: see docs/performance.md.
_ONE_IN = 8
#: More in one step would be felt in that step. Nor is more saved up for later ones.
_MOST_IN_A_STEP = 2
#: After the step of a bulk job's picture no other comes before so many times its length has passed.
_REST = 15


class Yielding:
    def __init__(self) -> None:
        self._earned = 0.0
        self._rests_until_s = float("-inf")

    def tokens(self, urgent: int) -> int:
        """How many tokens of bulk jobs may be in the step in which synchronous ones read so many."""
        self._earned = min(self._earned + urgent / _ONE_IN, _MOST_IN_A_STEP)
        return int(self._earned)

    def read(self, tokens: int) -> None:
        """So many of them were."""
        self._earned -= tokens

    def rests(self, now_s: float) -> bool:
        """Whether no bulk job's picture may be worked on now."""
        return now_s < self._rests_until_s

    def worked(self, began_s: float, now_s: float) -> None:
        """One was, from then until now."""
        self._rests_until_s = max(self._rests_until_s, now_s + _REST * (now_s - began_s))
