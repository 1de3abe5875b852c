"""The vision tower: llama.cpp's `youtuvl` projector (SigLIP-2 blocks, windowed attention, 2×2 merger)."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import RMSNorm, attend
from .shape import CELL_PX, PATCH_PX, Shape

_EPS = 1e-6
_ROPE_BASE = 10000.0


@functools.cache
def _geometry(rows: int, columns: int, head: int, window_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """Angles (patches, head/2) as cosine and sine, and the window mask (patches, patches), in merge-cell order."""
    yy, xx = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    y, x = (grid.view(rows // 2, 2, columns // 2, 2).permute(0, 2, 1, 3).reshape(-1) for grid in (yy, xx))
    quarter = head // 4
    # The exponent starts again for x: as in ggml's vision RoPE, which gives each axis one half of the head.
    frequency = _ROPE_BASE ** (-4.0 * torch.arange(quarter).double() / head)
    angle = torch.cat([y[:, None] * frequency, x[:, None] * frequency], 1).float()
    cells = max(1, window_px // CELL_PX)
    window = (y // 2 // cells) * 1000 + (x // 2 // cells)
    return angle.cos(), angle.sin(), window[:, None] == window[None]


def _rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE over the pairs (j, j + head/2)."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class VisionBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.vision_width
        self.heads = shape.vision_heads
        self.ln1 = nn.LayerNorm(width, eps=_EPS)
        self.ln2 = nn.LayerNorm(width, eps=_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, shape.vision_ff)
        self.down = nn.Linear(shape.vision_ff, width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        batch, patches, width = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(batch, patches, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = _rotate_halves(q, cos.to(q.dtype), sin.to(q.dtype)), _rotate_halves(k, cos.to(k.dtype), sin.to(k.dtype))
        attended = attend(q, k, v, mask)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, patches, width))
        return x + self.down(functional.gelu(self.up(self.ln2(x)), approximate="tanh"))


class VisionTower(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.vision_width
        self.patch = nn.Linear(3 * PATCH_PX**2, width)
        self.blocks = nn.ModuleList(VisionBlock(shape) for _ in range(shape.vision_layers))
        self.post = nn.LayerNorm(width, eps=_EPS)
        self.merge_norm = RMSNorm(width, eps=_EPS)
        self.merge_in = nn.Linear(4 * width, 4 * width)
        self.merge_out = nn.Linear(4 * width, shape.text_width)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (batch, height, width, 3), sides multiples of 32 -> (patch states (batch, patches, vision width),
        picture tokens (batch, patches/4, text width)). Patches run cell by cell, four to a cell."""
        batch, height, width, _ = pictures.shape
        rows, columns = height // PATCH_PX, width // PATCH_PX
        pixels = pictures.float().div(127.5).sub(1.0)
        grid = pixels.view(batch, rows // 2, 2, PATCH_PX, columns // 2, 2, PATCH_PX, 3)
        x = self.patch(grid.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, rows * columns, -1))
        head = self.shape.vision_width // self.shape.vision_heads
        cos, sin, mask = (t.to(x.device) for t in _geometry(rows, columns, head, self.shape.window_px))
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, None if index in self.shape.full_attention else mask)
        patches = self.post(x)
        merged = self.merge_norm(patches).reshape(batch, rows * columns // 4, -1)
        return patches, self.merge_out(functional.gelu(self.merge_in(merged), approximate="tanh"))
