"""Random-weight pairs of Qwen2-VL's architecture: positions of three parts (M-RoPE), grouped attention."""

from pathlib import Path

from benchmarks.engine import towers
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.random_file import RandomFile
from benchmarks.engine.shapes import QwenShape
from benchmarks.engine.vocabulary import vocabulary

_PATCH_PX = 14
_SIDE_PX = 560
_SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
#: As the published models'.
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_text(path: Path, shape: QwenShape, kind: Kind) -> None:
    pair, text = RandomFile(path, "qwen2vl", kind), shape.text
    sections: dict[str, object] = {"rope.dimension_sections": [*shape.rope_sections, 0]}
    towers.describe_text(pair, text, rope_base=1e6, more=sections)
    pair.metadata |= vocabulary(text.vocabulary, _SPECIAL, _TEMPLATE)
    towers.add_embeddings(pair, text)
    for index in range(text.layers):
        at = f"blk.{index}."
        towers.add_norms(pair, at, text)
        towers.add_attention(pair, at, text, bias=True)
        towers.add_gated_feed_forward(pair, at, text)
    pair.close()


def write_vision(path: Path, shape: QwenShape, kind: Kind) -> None:
    pair, vision = RandomFile(path, "clip", kind), shape.vision
    towers.describe_vision(
        pair, vision, "qwen2vl_merger", text_width=shape.text.width, side_px=_SIDE_PX, patch_px=_PATCH_PX
    )
    merged = 4 * vision.width
    # One for each of two frames; a picture is shown to both.
    pair.matrix("v.patch_embd.weight", vision.width, 3, _PATCH_PX, _PATCH_PX)
    pair.matrix("v.patch_embd.weight.1", vision.width, 3, _PATCH_PX, _PATCH_PX)
    pair.norm("v.post_ln", vision.width)
    pair.affine("mm.0", merged, merged)
    pair.affine("mm.2", shape.text.width, merged)
    towers.add_vision_blocks(pair, vision)
    pair.close()
