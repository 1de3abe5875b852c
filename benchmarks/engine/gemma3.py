"""Random-weight pairs of Gemma 3's architecture: windows of attention, pictures whose tokens see each other."""

from pathlib import Path

from benchmarks.engine import towers
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.random_file import RandomFile
from benchmarks.engine.shapes import GemmaShape
from benchmarks.engine.vocabulary import vocabulary

_PATCH_PX = 14
_SPECIAL = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>")
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{% if message.content is string %}{{ message.content | trim }}{% else %}"
    "{% for part in message.content %}{{ part.text | trim }}{% endfor %}{% endif %}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def write_text(path: Path, shape: GemmaShape, kind: Kind) -> None:
    pair, text = RandomFile(path, "gemma3", kind), shape.text
    more: dict[str, object] = {
        "attention.key_length": shape.head,
        "attention.value_length": shape.head,
        "attention.sliding_window": shape.window,
    }
    towers.describe_text(pair, text, rope_base=1e6, more=more)
    pair.metadata |= vocabulary(text.vocabulary, _SPECIAL, _TEMPLATE)
    towers.add_embeddings(pair, text, tied=True)
    for index in range(text.layers):
        at = f"blk.{index}."
        towers.add_norms(pair, at, text)
        towers.add_attention(pair, at, text, head=shape.head)
        pair.vector(f"{at}attn_q_norm.weight", shape.head, 1.0)
        pair.vector(f"{at}attn_k_norm.weight", shape.head, 1.0)
        pair.vector(f"{at}post_attention_norm.weight", text.width, 1.0)
        towers.add_gated_feed_forward(pair, at, text)
        pair.vector(f"{at}post_ffw_norm.weight", text.width, 1.0)
    pair.close()


def write_vision(path: Path, shape: GemmaShape, kind: Kind) -> None:
    pair, vision = RandomFile(path, "clip", kind), shape.vision
    towers.describe_vision(
        pair, vision, "gemma3", text_width=shape.text.width, side_px=shape.side_px, patch_px=_PATCH_PX
    )
    pair.metadata["clip.vision.projector.scale_factor"] = shape.pool
    pair.matrix("v.patch_embd.weight", vision.width, 3, _PATCH_PX, _PATCH_PX, kind=Kind.F16)
    pair.vector("v.patch_embd.bias", vision.width, 0.0)
    pair.matrix("v.position_embd.weight", (shape.side_px // _PATCH_PX) ** 2, vision.width, kind=Kind.F32)
    pair.norm("v.post_ln", vision.width)
    # The other way round than the rest: llama.cpp turns it.
    pair.matrix("mm.input_projection.weight", vision.width, shape.text.width, kind=Kind.F16)
    pair.vector("mm.soft_emb_norm.weight", vision.width, 1.0)
    towers.add_vision_blocks(pair, vision)
    pair.close()
