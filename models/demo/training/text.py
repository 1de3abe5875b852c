"""The text tower: llama.cpp's `deepseek2` with dense layers and multi-head latent attention."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import RMSNorm, attend
from .packing import Packing, pushed_together
from .shape import Shape

_EPS = 1e-6

#: Cosine and sine of RoPE's angles, (positions, half of the rotated part of a head) each.
Turns = tuple[Tensor, Tensor]


class Asked(NamedTuple):
    """Of a line, what the last layer computes: which of it, bool (positions,); its places in rows of their own; and
    what they see, (batch, 1, longest of those rows, length)."""

    line: Tensor
    places: Packing
    mask: Tensor


def _rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE over the pairs (2i, 2i + 1)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class TextBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, heads = shape.text_width, shape.text_heads
        self.attn_norm = RMSNorm(width, eps=_EPS)
        self.ffn_norm = RMSNorm(width, eps=_EPS)
        self.kv_norm = RMSNorm(shape.kv_rank, eps=_EPS)
        self.q = nn.Linear(width, heads * (shape.head_nope + shape.head_rope), bias=False)
        self.kv_down = nn.Linear(width, shape.kv_rank + shape.head_rope, bias=False)
        self.k_up = nn.Linear(shape.kv_rank, heads * shape.head_nope, bias=False)
        self.v_up = nn.Linear(shape.kv_rank, heads * shape.head_value, bias=False)
        self.out = nn.Linear(heads * shape.head_value, width, bias=False)
        self.gate = nn.Linear(width, shape.text_ff, bias=False)
        self.up = nn.Linear(width, shape.text_ff, bias=False)
        self.down = nn.Linear(shape.text_ff, width, bias=False)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.shape.text_heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, turns: Turns, held: Packing, asked: Asked | None, mask: Tensor) -> Tensor:
        """The line `x` (positions, width) after this layer, or of it what is `asked`."""
        shape = self.shape
        normed = self.attn_norm(x)
        latent, k_rope = self.kv_down(normed).split([shape.kv_rank, shape.head_rope], -1)
        latent = self.kv_norm(latent)
        k_nope = self.k_up(latent)
        keys = held.spread(torch.cat([k_nope, _rotate_pairs(k_rope, *turns).to(k_nope.dtype)], -1))
        k_nope, k_rope = keys.split([shape.text_heads * shape.head_nope, shape.head_rope], -1)
        k_nope, k_rope = self._heads(k_nope), k_rope[:, None].expand(-1, shape.text_heads, -1, -1)
        value = self._heads(held.spread(self.v_up(latent)))
        places = held
        if asked is not None:
            x, normed, places, mask = x[asked.line], normed[asked.line], asked.places, asked.mask
            turns = (turns[0][asked.line], turns[1][asked.line])
        q = self.q(normed).view(len(x), shape.text_heads, -1)
        q_nope, q_rope = q.split([shape.head_nope, shape.head_rope], -1)
        q_rope = _rotate_pairs(q_rope, turns[0][:, None], turns[1][:, None]).to(q_nope.dtype)
        query = self._heads(places.spread(torch.cat([q_nope, q_rope], -1).flatten(1)))
        attended = attend(query, torch.cat([k_nope, k_rope], -1), value, mask)
        x = x + self.out(places.line(attended.transpose(1, 2).flatten(2)))
        normed = self.ffn_norm(x)
        return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class TextTower(nn.Module):
    def __init__(self, shape: Shape, vocabulary: int) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(vocabulary, shape.text_width)
        self.blocks = nn.ModuleList(TextBlock(shape) for _ in range(shape.text_layers))
        self.norm = RMSNorm(shape.text_width, eps=_EPS)
        self.head = nn.Linear(shape.text_width, vocabulary, bias=False)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Embeddings (batch, length, width), positions (batch, length), mask (batch, 1, length, length), true where
        seen -> normed states (batch, length, width); `head` makes logits of them."""
        everything = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        return self.answers(x, positions, mask, everything, everything).view_as(x)

    def answers(self, x: Tensor, positions: Tensor, mask: Tensor, present: Tensor, asked: Tensor) -> Tensor:
        """The same, of positions that are `present` and no others, and only the states `asked` for, both bool (batch,
        length) -> normed states (asked, width), row by row. Every position has to see itself."""
        held = Packing.of(present)
        size = self.shape.head_rope
        frequency = self.shape.rope_theta ** (-torch.arange(0, size, 2, device=x.device).float() / size)
        angle = held.line(positions)[:, None].float() * frequency
        line = held.line(x)
        turns = (angle.cos(), angle.sin())
        for block in self.blocks[:-1]:
            line = block(line, turns, held, None, mask)
        places, origin = pushed_together(asked)
        seen = mask[torch.arange(len(origin), device=x.device)[:, None], 0, origin][:, None]
        last = Asked(held.line(asked[..., None]).squeeze(1), places, seen)
        return self.norm(self.blocks[-1](line, turns, held, last, mask))
