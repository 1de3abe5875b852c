"""Both towers together, and their first weights."""

import math

from torch import nn

from .shape import Shape
from .text import TextTower
from .vision import VisionTower
from .vocabulary import TOKENS


class DemoModel(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.vision = VisionTower(shape)
        self.text = TextTower(shape, len(TOKENS))
        for name, parameter in self.named_parameters():
            if parameter.ndim != 2:  # noqa: PLR2004 - matrices
                continue
            nn.init.normal_(parameter, std=1.0 if "embed" in name else 1.0 / math.sqrt(parameter.shape[1]))
            if name.endswith(("out.weight", "down.weight", "head.weight")):
                # Blocks start near the identity, and the first answers near uniform.
                parameter.data.mul_(0.5)
