"""The text tower: llama.cpp's `deepseek2` with dense layers and multi-head latent attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import RMSNorm, attend
from .shape import Shape

_EPS = 1e-6


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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        shape = self.shape
        normed = self.attn_norm(x)
        q_nope, q_rope = self._heads(self.q(normed)).split([shape.head_nope, shape.head_rope], -1)
        latent, k_rope = self.kv_down(normed).split([shape.kv_rank, shape.head_rope], -1)
        latent = self.kv_norm(latent)
        k_nope, value = self._heads(self.k_up(latent)), self._heads(self.v_up(latent))
        q_rope = _rotate_pairs(q_rope, cos, sin).to(q_nope.dtype)
        k_rope = _rotate_pairs(k_rope[:, None], cos, sin).to(k_nope.dtype).expand(-1, shape.text_heads, -1, -1)
        attended = attend(torch.cat([q_nope, q_rope], -1), torch.cat([k_nope, k_rope], -1), value, mask)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
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
        size = self.shape.head_rope
        frequency = self.shape.rope_theta ** (-torch.arange(0, size, 2, device=x.device).float() / size)
        angle = positions[:, None, :, None].float() * frequency
        cos, sin = angle.cos(), angle.sin()
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.norm(x)
