"""Training batches: rendered pictures, and their questions packed behind one shared picture.

The questions of a picture are branches of a tree: each sees the picture and itself, not the others, at the positions
it would have alone. It is what the service's engine does when it forks the picture's prefix.
"""

import dataclasses
import random

import numpy as np
import torch
from torch import Tensor

from .questions import Truth, draw_asks
from .render import Mix, Renderer, draw_size
from .vocabulary import AFTER_PICTURE, AFTER_QUESTION, BEFORE_PICTURE, END_OF_TEXT, encode

_NO_TARGET = -100
_TRUNK = -1
#: The branch of what fills the shorter rows up.
PADDING = 99
_REFERENCE_PX = 160 * 160
_LENGTH_STEP = 32
YES_NO_WEIGHT, WORD_WEIGHT, END_AFTER_YES_NO_WEIGHT = 1.5, 1.0, 0.2


@dataclasses.dataclass(frozen=True)
class PictureBatch:
    """`pictures` uint8 (batch, height, width, 3); `labels` int64 (batch, patches) in the vision tower's order."""

    pictures: Tensor
    labels: Tensor
    truths: tuple[Truth, ...]


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Everything after the picture, (batch, length): tokens, the branch of each (-1 is the trunk), positions,
    targets (-100 where nothing is learned) and the weights of their loss."""

    tokens: Tensor
    branches: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor


def draw_pictures(renderer: Renderer, rng: np.random.Generator, batch: int, mix: Mix) -> PictureBatch:
    """About `batch` pictures of 160×160, or as many as cost the same at the size drawn."""
    width, height = draw_size(rng)
    count = max(8, round(batch * _REFERENCE_PX / (width * height)))
    drawn = [renderer.draw(rng, (width, height), mix) for _ in range(count)]
    labels = torch.from_numpy(np.stack([d.labels for d in drawn]).astype(np.int64))
    rows, columns = labels.shape[1:]
    by_cell = labels.view(count, rows // 2, 2, columns // 2, 2).permute(0, 1, 3, 2, 4).reshape(count, -1)
    return PictureBatch(torch.from_numpy(np.stack([d.pixels for d in drawn])), by_cell, tuple(d.truth for d in drawn))


def trunk_tokens() -> tuple[int, ...]:
    """The tokens before the picture."""
    return encode(BEFORE_PICTURE)


def draw_text(rng: random.Random, truths: tuple[Truth, ...], picture_tokens: int, probes: int) -> TextBatch:
    rows = [_pack(rng, truth, len(trunk_tokens()) + picture_tokens, probes) for truth in truths]
    # Few lengths: every new shape of a product stays in oneDNN's cache, gigabytes of them after an hour.
    length = -(-max(len(row[0]) for row in rows) // _LENGTH_STEP) * _LENGTH_STEP
    fills = (0, PADDING, 0, _NO_TARGET, 0.0)
    columns = [[row[k] + [fill] * (length - len(row[k])) for row in rows] for k, fill in enumerate(fills)]
    return TextBatch(*(torch.tensor(c, dtype=torch.float32 if k == len(fills) - 1 else torch.long) for k, c in
                       enumerate(columns)))  # fmt: skip


def _pack(rng: random.Random, truth: Truth, start: int, probes: int) -> tuple[list[int], ...]:
    tokens = list(encode(AFTER_PICTURE))
    branches = [_TRUNK] * len(tokens)
    positions = list(range(start, start + len(tokens)))
    targets = [_NO_TARGET] * len(tokens)
    weights: list[float] = [0.0] * len(tokens)
    first = start + len(tokens)
    for branch, ask in enumerate(draw_asks(rng, truth, probes)):
        question = [*encode(ask.prompt), *encode(AFTER_QUESTION)]
        answer = [*encode(ask.answer), END_OF_TEXT]
        line = question + answer[:-1]
        tokens += line
        branches += [branch] * len(line)
        positions += range(first, first + len(line))
        targets += [_NO_TARGET] * (len(question) - 1) + answer
        weights += [0.0] * (len(question) - 1)
        weights += [YES_NO_WEIGHT, END_AFTER_YES_NO_WEIGHT] if ask.yes_no else [WORD_WEIGHT] * len(answer)
    return tokens, branches, positions, targets, weights  # type: ignore[return-value]


def tree_mask(branches: Tensor) -> Tensor:
    """(batch, length) -> (batch, 1, length, length): who sees whom."""
    length = branches.shape[1]
    seen = (branches[:, None, :] == _TRUNK) | (branches[:, None, :] == branches[:, :, None])
    causal = torch.ones(length, length, dtype=torch.bool, device=branches.device).tril()
    return (seen & causal)[:, None]
