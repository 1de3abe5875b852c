"""The sizes of the two towers, as llama.cpp's metadata names them."""

import dataclasses

#: Side of one patch, in pixels; a merge cell is 2×2 patches and becomes one picture token.
PATCH_PX = 16
CELL_PX = 2 * PATCH_PX

#: Picture tokens of one picture: `image_max_tokens` of the service's catalogue, and the largest canvas of training.
PICTURE_TOKENS = 36


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """`full_attention` lists the vision layers that see the whole picture; the others see windows of `window_px`.

    `q_rank` 0 means one plain query projection. llama.cpp takes 26, 27 and 48 text layers for other models.
    """

    vision_width: int = 192
    vision_layers: int = 5
    vision_heads: int = 3
    vision_ff: int = 576
    full_attention: tuple[int, ...] = (2, 4)
    window_px: int = 128
    text_width: int = 192
    text_layers: int = 4
    text_heads: int = 4
    kv_rank: int = 64
    head_nope: int = 32
    head_rope: int = 16
    head_value: int = 48
    text_ff: int = 448
    rope_theta: float = 10000.0
    context: int = 4096


#: About 20 M parameters: for a GPU, where twenty minutes see millions of pictures.
LARGE = Shape(
    vision_width=384,
    vision_layers=8,
    vision_heads=6,
    vision_ff=1152,
    full_attention=(1, 3, 5, 7),
    text_width=256,
    text_ff=768,
)
