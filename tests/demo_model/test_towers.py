"""The trainer's parts that need PyTorch: they run in the training environment and skip elsewhere."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the towers need the training environment (requirements/training.lock)")

from training.data import PADDING, draw_pictures, draw_text, tree_mask, trunk_tokens  # noqa: E402
from training.model import DemoModel  # noqa: E402
from training.packing import widened  # noqa: E402
from training.render import Mix, Renderer  # noqa: E402
from training.shape import Shape  # noqa: E402
from training.train import answer_loss  # noqa: E402


@pytest.fixture(scope="module")
def model() -> DemoModel:
    torch.manual_seed(0)
    return DemoModel(Shape()).eval()


def test_packed_questions_see_what_they_would_see_alone(model: DemoModel, renderer: Renderer) -> None:
    rng = np.random.default_rng(1)
    batch = draw_pictures(renderer, rng, 8, Mix(photo=0, writing=0, decoys=0))
    with torch.no_grad():
        _, cells = model.vision(batch.pictures[:1])
        text = draw_text(random.Random(2), batch.truths[:1], cells.shape[1], 4)  # noqa: S311
        trunk = torch.tensor(trunk_tokens())
        before = len(trunk) + cells.shape[1]
        head = torch.cat([model.text.embed(trunk)[None], cells], 1)
        branches = torch.cat([torch.full((1, before), -1), text.branches], 1)
        positions = torch.cat([torch.arange(before)[None], text.positions], 1)
        packed = model.text(torch.cat([head, model.text.embed(text.tokens)], 1), positions, tree_mask(branches))
        for branch in sorted({*text.branches[0].tolist()} - {-1, PADDING}):
            keep = (branches[0] == -1) | (branches[0] == branch)
            tokens = text.tokens[0][keep[before:]]
            alone_x = torch.cat([head, model.text.embed(tokens)[None]], 1)
            length = alone_x.shape[1]
            mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
            alone = model.text(alone_x, torch.arange(length)[None], mask)
            assert torch.allclose(alone[0, -3:], packed[0][keep][-3:], atol=1e-4)


def test_what_is_not_asked_or_not_there_can_be_left_out(model: DemoModel) -> None:
    torch.manual_seed(3)
    rows, length = 3, 20
    x = torch.randn(rows, length, model.shape.text_width)
    present = torch.arange(length)[None] < torch.tensor([[20], [13], [7]])
    asked = present & (torch.rand(rows, length) < 0.3)
    asked[2] = False  # nothing is asked of the shortest
    mask = (torch.ones(length, length, dtype=torch.bool).tril() & present[:, None]) | torch.eye(length).bool()
    positions = torch.arange(length)[None].expand(rows, -1)
    with torch.no_grad():
        everything = model.text(x, positions, mask[:, None])
        some = model.text.answers(x, positions, mask[:, None], present, asked)
    assert torch.allclose(some, everything[asked], atol=1e-5)


def test_gaps_are_filled_up_to_few_sizes_and_no_further() -> None:
    held = torch.arange(30).view(3, 10) % 4 == 0
    allowed = torch.arange(30).view(3, 10) % 4 < 3
    more = widened(held, allowed, 10)
    assert more.sum() == 10
    assert more[held].all()
    assert not more[~allowed].any()
    assert torch.equal(widened(held, held, 10), held)


def test_a_few_steps_teach_a_batch(renderer: Renderer) -> None:
    torch.manual_seed(1)
    model = DemoModel(Shape(vision_layers=2, text_layers=2, full_attention=(1,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    batch = draw_pictures(renderer, np.random.default_rng(4), 4, Mix(photo=0, writing=0, decoys=0))
    losses = []
    for _ in range(12):
        _, cells = model.vision(batch.pictures)
        loss, _ = answer_loss(model, cells, batch, random.Random(9), 4)  # noqa: S311
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
