"""Sizes of random-weight pairs: Youtu-VL-4B's own, those of other families, and each scaled down.

Speed does not depend on what weights say, so a pair of the exact shape is as slow or quick as the published one. The
text part's feed-forward width and query rank of Youtu-VL were not found; the values here give the published number of
parameters.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vision:
    """`ff` is the width of the feed-forward part."""

    width: int
    layers: int
    heads: int
    ff: int


@dataclass(frozen=True, slots=True)
class Text:
    """Groups of `heads` share keys and values: `kv_heads` of them."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class YoutuShape:
    """One latent of `kv_rank` holds the keys and values of all heads. `full_attention` lists the vision layers that see
    the whole picture; the others see windows of 256 px."""

    vision: Vision
    text: Text
    full_attention: tuple[int, ...]
    q_rank: int
    kv_rank: int
    head_nope: int
    head_rope: int
    head_value: int


@dataclass(frozen=True, slots=True)
class QwenShape:
    """`rope_sections`: how many of a head's rotary pairs turn with time, height and width."""

    vision: Vision
    text: Text
    rope_sections: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LlavaShape:
    """Every picture becomes a square of `side_px`."""

    vision: Vision
    text: Text
    side_px: int


@dataclass(frozen=True, slots=True)
class GemmaShape:
    """Every picture becomes a square of `side_px`, of which `pool` by `pool` patches make a token. Five layers of six
    see `window` tokens back; a head is `head` wide."""

    vision: Vision
    text: Text
    side_px: int
    pool: int
    head: int
    window: int


Shape = YoutuShape | QwenShape | LlavaShape | GemmaShape

#: What is called a quarter has about a quarter of the layers, of every width, and of the vocabulary.
SHAPES: dict[str, Shape] = {
    "youtu-vl-4b": YoutuShape(
        Vision(1152, 27, 16, 4304), Text(2560, 40, 32, 1, 6144, 283_386), (7, 15, 23, 26), 1536, 512, 128, 64, 128
    ),
    "quarter": YoutuShape(
        Vision(288, 7, 4, 1088), Text(640, 10, 8, 1, 1536, 70_848), (1, 3, 5, 6), 384, 128, 32, 16, 32
    ),
    "tiny": YoutuShape(Vision(64, 2, 2, 128), Text(64, 2, 2, 1, 128, 1024), (1,), 32, 32, 16, 16, 16),
    "qwen2vl-2b": QwenShape(Vision(1280, 32, 16, 5120), Text(1536, 28, 12, 2, 8960, 151_936), (16, 24, 24)),
    "qwen2vl-quarter": QwenShape(Vision(320, 8, 4, 1280), Text(384, 7, 6, 1, 2240, 37_984), (8, 12, 12)),
    "qwen2vl-tiny": QwenShape(Vision(32, 2, 2, 128), Text(64, 2, 4, 2, 128, 1024), (2, 3, 3)),
    # LLaVA 1.5's eyes (the last of their 24 layers is not used) before Llama 3.
    "llava-8b": LlavaShape(Vision(1024, 23, 16, 4096), Text(4096, 32, 32, 8, 14_336, 128_256), 336),
    "llava-quarter": LlavaShape(Vision(256, 6, 4, 1024), Text(1024, 8, 8, 2, 3584, 32_064), 336),
    "llava-tiny": LlavaShape(Vision(32, 2, 2, 64), Text(64, 2, 4, 2, 128, 1024), 84),
    "gemma3-4b": GemmaShape(Vision(1152, 27, 16, 4304), Text(2560, 34, 8, 4, 10_240, 262_208), 896, 4, 256, 1024),
    # Half of the side and of the pooling: a picture has as many tokens as with the whole.
    "gemma3-quarter": GemmaShape(Vision(288, 7, 4, 1088), Text(640, 8, 4, 2, 2560, 65_552), 448, 2, 128, 1024),
    "gemma3-tiny": GemmaShape(Vision(32, 2, 2, 64), Text(64, 6, 4, 2, 128, 1024), 112, 2, 16, 64),
}
