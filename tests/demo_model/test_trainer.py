"""The trainer: needs PyTorch, runs in the training environment and skips elsewhere."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs its own environment (requirements/training.lock)")

from training.export import export  # noqa: E402
from training.model import DemoModel  # noqa: E402
from training.muon import Muon  # noqa: E402
from training.render import Mix, Rendered, Renderer  # noqa: E402
from training.shape import Shape  # noqa: E402
from training.shipped import load_pair  # noqa: E402
from training.train import Plan, train  # noqa: E402

SHAPE = Shape(vision_layers=1, full_attention=(0,), text_layers=1)


class Interrupted(Renderer):
    """Draws `pictures` and then is stopped, as by a person."""

    def __init__(self, renderer: Renderer, pictures: int) -> None:
        vars(self).update(vars(renderer))
        self.left = pictures

    def draw(self, rng: np.random.Generator, size: tuple[int, int], mix: Mix) -> Rendered:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().draw(rng, size, mix)


def trained(plan: Plan, renderer: Renderer) -> dict[str, torch.Tensor]:
    train(plan, SHAPE, (renderer, renderer), resume=True)
    return dict(torch.load(plan.out / "checkpoint.pt", weights_only=True)["model"])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_seed_makes_one_model_and_a_stop_in_between_changes_nothing(tmp_path: Path, renderer: Renderer) -> None:
    plan = Plan(
        out=tmp_path / "whole",
        see_steps=2,
        answer_steps=1,
        calm_steps=1,
        batch=8,
        processes=1,
        save_every=1,
        check_every=9,
    )
    whole = trained(plan, renderer)
    assert not same(whole, trained(dataclasses.replace(plan, out=tmp_path / "other", seed=1), renderer))

    resumed = dataclasses.replace(plan, out=tmp_path / "resumed")
    with pytest.raises(KeyboardInterrupt):
        trained(resumed, Interrupted(renderer, 20))
    assert 0 < torch.load(resumed.out / "checkpoint.pt", weights_only=True)["step"] < plan.steps
    assert same(whole, trained(resumed, renderer))


def test_processes_end_with_the_same_weights(tmp_path: Path, renderer: Renderer) -> None:
    plan = Plan(out=tmp_path, see_steps=2, answer_steps=1, calm_steps=0, batch=8, processes=2, meet_every=2)
    train(plan, SHAPE, (renderer, renderer), resume=False)
    first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("checkpoint.pt", "checkpoint-1.pt"))
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert first["step"] == second["step"] == 3


def test_a_pair_that_ships_comes_back_as_the_weights_that_it_was_made_of(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "models" / "demo"
    model = DemoModel(Shape())
    model.load_state_dict(load_pair(shipped, Shape()))
    for written in export(model, tmp_path):
        assert written.read_bytes() == (shipped / written.name).read_bytes()


def test_a_pair_is_trained_further_and_not_from_nothing(tmp_path: Path, renderer: Renderer) -> None:
    first = Plan(out=tmp_path / "first", see_steps=1, answer_steps=0, calm_steps=0, batch=2, processes=1)
    model = DemoModel(SHAPE)
    model.load_state_dict(trained(first, renderer))
    export(model, tmp_path)
    plan = dataclasses.replace(first, out=tmp_path / "further", answer_steps=1, start_from=tmp_path, peak=0.01)
    further = trained(plan, renderer)
    known = load_pair(tmp_path, SHAPE)
    matrix = "vision.blocks.0.up.weight"
    assert 0 < (further[matrix] - known[matrix]).abs().max() < 0.01


@pytest.mark.parametrize("shape", [(24, 72), (72, 24), (32, 32)])
def test_our_muon_steps_as_the_one_of_pytorch(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Parameter(torch.randn(shape))
    ours = torch.nn.Parameter(theirs.detach().clone())
    optimizers = (torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.01), Muon([ours], lr=0.02))
    for _ in range(4):
        theirs.grad = torch.randn(shape)
        ours.grad = theirs.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert (theirs - ours).abs().max() < 0.005  # PyTorch's iterates in bfloat16
