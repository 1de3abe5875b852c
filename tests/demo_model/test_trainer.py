"""The trainer: needs PyTorch, runs in the training environment and skips elsewhere."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs its own environment (requirements/training.lock)")

from training.render import Mix, Rendered, Renderer  # noqa: E402
from training.shape import Shape  # noqa: E402
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
