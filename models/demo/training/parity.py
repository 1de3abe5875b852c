"""Does llama.cpp compute what PyTorch computes? Reference logits, to be compared wherever llama.cpp runs."""

from pathlib import Path

import numpy as np
import torch

from . import vocabulary
from .model import DemoModel
from .questions import DESCRIBE, READ, policy_questions
from .render import Mix, Renderer
from .vocabulary import AFTER_PICTURE, AFTER_QUESTION, BEFORE_PICTURE, encode

#: Square, wide, tall, and one whose windows are ragged on both axes.
_SIZES = ((96, 96), (224, 160), (128, 288), (160, 192))
PROMPTS = (policy_questions()[0][2], policy_questions()[7][2], DESCRIBE, READ)


@torch.no_grad()
def reference_logits(model: DemoModel, pixels: np.ndarray) -> np.ndarray:
    """(prompts, vocabulary) float32, each prompt evaluated by itself, in full precision."""
    _, cells = model.vision(torch.from_numpy(pixels.copy())[None])
    rows = []
    for prompt in PROMPTS:
        before = model.text.embed(torch.tensor(encode(BEFORE_PICTURE)))[None]
        after = model.text.embed(torch.tensor(encode(AFTER_PICTURE) + encode(prompt) + encode(AFTER_QUESTION)))[None]
        x = torch.cat([before, cells, after], 1)
        length = x.shape[1]
        mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        states = model.text(x, torch.arange(length)[None], mask)
        rows.append(model.text.head(states[0, -1]).numpy())
    return np.stack(rows)


def write_reference(model: DemoModel, renderer: Renderer, path: Path) -> None:
    rng = np.random.default_rng(3)
    pictures = [renderer.draw(rng, size, Mix(photo=0, crowd=True)).pixels for size in _SIZES]
    arrays = {f"picture_{n}": pixels for n, pixels in enumerate(pictures)}
    arrays |= {f"logits_{n}": reference_logits(model, pixels) for n, pixels in enumerate(pictures)}
    arrays["tokens"] = np.array([len(vocabulary.TOKENS)])
    np.savez_compressed(path, **arrays)
