"""Muon for the hidden matrices: momentum, made nearly orthogonal before each step.

After K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024). PyTorch's own always
orthogonalises in bfloat16, whatever the processor can do, which takes two thirds of a step on one that cannot do it.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from .precision import fast_type

#: Of the quintic iteration; they drive every singular value to between 0.7 and 1.2, in few steps rather than exactly.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_TINY = 1e-7


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, decoupled weight decay. Every parameter is a matrix."""

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given here
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                change = orthogonal(matrix.grad.lerp(mean, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                # Tall matrices change as much for each input as square ones do.
                stretched = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.add_(change.to(matrix.dtype), alpha=-group["lr"] * stretched)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, nearly."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(fast_type(matrix.device.type))
    x = x / x.norm().clamp(min=_TINY)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x
