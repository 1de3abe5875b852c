"""Sizes of random-weight pairs: Youtu-VL-4B's own, the same architecture scaled down, and one of another family.

Speed does not depend on what weights say, so a pair of the exact shape is as slow or quick as the published one. The
text part's feed-forward width and query rank were not found; the values here give the published number of parameters.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """`full_attention` lists the vision layers that see the whole picture; the others see windows of 256 px."""

    vision_width: int
    vision_layers: int
    vision_heads: int
    vision_ff: int
    full_attention: tuple[int, ...]
    text_width: int
    text_layers: int
    text_heads: int
    text_ff: int
    q_rank: int
    kv_rank: int
    head_nope: int
    head_rope: int
    head_value: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class QwenShape:
    """Grouped attention with M-RoPE. `rope_sections`: how many of a head's rotary pairs turn with time, height and
    width."""

    vision_width: int
    vision_layers: int
    vision_heads: int
    text_width: int
    text_layers: int
    text_heads: int
    kv_heads: int
    text_ff: int
    rope_sections: tuple[int, int, int]
    vocabulary: int


SHAPES: dict[str, Shape | QwenShape] = {
    "youtu-vl-4b": Shape(1152, 27, 16, 4304, (7, 15, 23, 26), 2560, 40, 32, 6144, 1536, 512, 128, 64, 128, 283_386),
    # A quarter of the layers and of every width, and of the vocabulary.
    "quarter": Shape(288, 7, 4, 1088, (1, 3, 5, 6), 640, 10, 8, 1536, 384, 128, 32, 16, 32, 70_848),
    "tiny": Shape(64, 2, 2, 128, (1,), 64, 2, 2, 128, 32, 32, 16, 16, 16, 1024),
    "qwen2vl-2b": QwenShape(1280, 32, 16, 1536, 28, 12, 2, 8960, (16, 24, 24), 151_936),
    "qwen2vl-quarter": QwenShape(320, 8, 4, 384, 7, 6, 1, 2240, (8, 12, 12), 37_984),
}
