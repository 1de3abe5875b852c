"""llama.cpp computes from the shipped files what PyTorch computed from the weights they were made of."""

import numpy as np
import pytest
from training.llama import Llama
from training.questions import DESCRIBE, READ, policy_questions
from training.render import seen_size

#: Largest difference of a logit: weights in F16 instead of F32, and llama.cpp's caches in F16.
BOUND = 0.07
PROMPTS = (policy_questions()[0][2], policy_questions()[7][2], DESCRIBE, READ)


@pytest.mark.parametrize("case", range(4))
def test_logits_agree_with_the_reference(llama: Llama, reference: dict[str, np.ndarray], case: int) -> None:
    expected = reference[f"logits_{case}"]
    got = np.stack([llama.logits(reference[f"picture_{case}"], prompt) for prompt in PROMPTS])
    assert np.abs(got - expected).max() <= BOUND
    assert (got.argmax(1) == expected.argmax(1)).all()


def test_another_picture_gives_other_logits(llama: Llama, reference: dict[str, np.ndarray]) -> None:
    """Otherwise the agreement above would say nothing about the vision tower."""
    got = llama.logits(255 - reference["picture_0"], PROMPTS[2])
    assert np.abs(got - reference["logits_0"][2]).max() > 10 * BOUND


@pytest.mark.parametrize(
    ("width", "height"),
    [(96, 96), (33, 31), (800, 420), (1600, 1200), (1920, 1080), (300, 2400), (5, 700), (192, 193), (640, 480)],
)
def test_training_draws_at_the_size_that_llama_cpp_scales_to(llama: Llama, width: int, height: int) -> None:
    seen_width, seen_height = seen_size(width, height)
    assert llama.picture_tokens(np.zeros((height, width, 3), np.uint8)) == seen_width * seen_height // 1024
