"""Positions that matter, as one line without the gaps between them: what is the same for every position (projections,
norms, feed-forward) is computed on lines, and only attention on rows with gaps.

A third of a batch of questions is padding, and of the last layer only what is learned from is asked: one position in
twelve. Leaving the rest out takes two fifths off the text tower's products.
"""

import torch
from torch import Tensor


class Packing:
    """Where a line of positions lies in (rows, length)."""

    def __init__(self, slots: Tensor, rows: int, length: int) -> None:
        self.slots, self.rows, self.length = slots, rows, length

    @classmethod
    def of(cls, held: Tensor) -> "Packing":
        """`held` bool (rows, length): row by row, what it holds."""
        return cls(held.flatten().nonzero().squeeze(1), *held.shape)

    def line(self, spread: Tensor) -> Tensor:
        """(rows, length, …) -> (positions, …)"""
        return spread.flatten(0, 1)[self.slots]

    def spread(self, line: Tensor) -> Tensor:
        """(positions, size) -> (rows, length, size), zero where nothing is held."""
        empty = line.new_zeros(self.rows * self.length, line.shape[1])
        return empty.index_copy(0, self.slots, line).view(self.rows, self.length, -1)


def pushed_together(asked: Tensor) -> tuple[Packing, Tensor]:
    """`asked` bool (rows, length) -> those positions at the beginning of shorter rows, and (rows, shorter length) the
    position that each place holds. A place that holds none says 0, a position that sees at least itself."""
    rank = asked.cumsum(1) - 1
    row, position = asked.nonzero(as_tuple=True)
    longest = int(rank.max()) + 1
    slots = row * longest + rank[row, position]
    origin = torch.zeros(asked.shape[0] * longest, dtype=torch.long, device=asked.device)
    origin[slots] = position
    return Packing(slots, asked.shape[0], longest), origin.view(-1, longest)


def widened(held: Tensor, allowed: Tensor, step: int) -> Tensor:
    """`held` (rows, length) with as many of `allowed` more, spread evenly, as make a multiple of `step`, if there are
    as many: each new size of a product stays in oneDNN's cache."""
    free = (allowed & ~held).flatten().nonzero().squeeze(1)
    more = min(-int(held.sum()) % step, len(free))
    if not more:
        return held
    chosen = free[torch.arange(more, device=held.device) * len(free) // more]
    return held.flatten().index_fill(0, chosen, True).view_as(held)
