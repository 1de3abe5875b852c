"""Random-weight pairs of LLaVA's architecture: a plain Llama behind CLIP's eyes and a projector of two matrices."""

from pathlib import Path

from benchmarks.engine import towers
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.random_file import RandomFile
from benchmarks.engine.shapes import LlavaShape
from benchmarks.engine.vocabulary import vocabulary

_PATCH_PX = 14
_SPECIAL = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
#: Llama 3's.
_TEMPLATE = (
    "{% for message in messages %}{{ bos_token if loop.first else '' }}"
    "<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% if message.content is string %}{{ message.content | trim }}{% else %}"
    "{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def write_text(path: Path, shape: LlavaShape, kind: Kind) -> None:
    pair, text = RandomFile(path, "llama", kind), shape.text
    rotary: dict[str, object] = {"rope.dimension_count": text.width // text.heads}
    towers.describe_text(pair, text, rope_base=500000.0, more=rotary)
    pair.metadata |= vocabulary(text.vocabulary, _SPECIAL, _TEMPLATE)
    towers.add_embeddings(pair, text)
    for index in range(text.layers):
        at = f"blk.{index}."
        towers.add_norms(pair, at, text)
        towers.add_attention(pair, at, text)
        towers.add_gated_feed_forward(pair, at, text)
    pair.close()


def write_vision(path: Path, shape: LlavaShape, kind: Kind) -> None:
    pair, vision = RandomFile(path, "clip", kind), shape.vision
    towers.describe_vision(pair, vision, "mlp", text_width=shape.text.width, side_px=shape.side_px, patch_px=_PATCH_PX)
    pair.matrix("v.patch_embd.weight", vision.width, 3, _PATCH_PX, _PATCH_PX, kind=Kind.F16)
    pair.vector("v.class_embd", vision.width, 1.0)
    pair.matrix("v.position_embd.weight", 1 + (shape.side_px // _PATCH_PX) ** 2, vision.width, kind=Kind.F32)
    pair.norm("v.pre_ln", vision.width)
    pair.affine("mm.0", shape.text.width, vision.width)
    pair.affine("mm.2", shape.text.width, shape.text.width)
    towers.add_vision_blocks(pair, vision)
    pair.close()
