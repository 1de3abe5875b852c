"""Random-weight pairs of Youtu-VL's architecture: attention over a latent, vision in windows."""

from pathlib import Path

from benchmarks.engine import towers
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.random_file import RandomFile
from benchmarks.engine.shapes import YoutuShape
from benchmarks.engine.vocabulary import vocabulary

_PATCH_PX = 16
_SIDE_PX = 560
_WINDOW_PX = 256
_MERGED = 2
_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
#: One turn, as the catalogue's chat form writes it.
_TEMPLATE = (
    "<|begin_of_text|>system\nYou are a helpful assistant.<|end_of_text|>\n{% for m in messages %}"
    "{{'<|begin_of_text|>'+m.role+'\n'}}{% for c in m.content %}{{c.text}}{% endfor %}"
    "{{'<|end_of_text|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|begin_of_text|>assistant\n'}}{% endif %}"
)


def write_text(path: Path, shape: YoutuShape, kind: Kind) -> None:
    pair, text = RandomFile(path, "deepseek2", kind), shape.text
    towers.describe_text(pair, text, rope_base=500000.0, more=_latent_attention(shape))
    pair.metadata |= vocabulary(text.vocabulary, _SPECIAL, _TEMPLATE)
    towers.add_embeddings(pair, text)
    width, heads = text.width, text.heads
    for index in range(text.layers):
        at = f"blk.{index}."
        towers.add_norms(pair, at, text)
        pair.matrix(f"{at}attn_q_a.weight", shape.q_rank, width)
        pair.vector(f"{at}attn_q_a_norm.weight", shape.q_rank, 1.0)
        pair.matrix(f"{at}attn_q_b.weight", heads * (shape.head_nope + shape.head_rope), shape.q_rank)
        pair.matrix(f"{at}attn_kv_a_mqa.weight", shape.kv_rank + shape.head_rope, width)
        pair.vector(f"{at}attn_kv_a_norm.weight", shape.kv_rank, 1.0)
        pair.matrix(f"{at}attn_k_b.weight", heads, shape.kv_rank, shape.head_nope)
        pair.matrix(f"{at}attn_v_b.weight", heads, shape.head_value, shape.kv_rank)
        pair.matrix(f"{at}attn_output.weight", width, heads * shape.head_value)
        towers.add_gated_feed_forward(pair, at, text)
    pair.close()


def write_vision(path: Path, shape: YoutuShape, kind: Kind) -> None:
    pair, vision = RandomFile(path, "clip", kind), shape.vision
    towers.describe_vision(pair, vision, "youtuvl", text_width=shape.text.width, side_px=_SIDE_PX, patch_px=_PATCH_PX)
    pair.metadata |= {
        "clip.vision.spatial_merge_size": _MERGED,
        "clip.vision.window_size": _WINDOW_PX,
        # Despite its name the list of the layers with full attention.
        "clip.vision.wa_layer_indexes": list(shape.full_attention),
    }
    merged = _MERGED**2 * vision.width
    pair.affine("v.patch_embd", vision.width, 3 * _PATCH_PX**2)
    pair.norm("v.post_ln", vision.width)
    pair.vector("mm.input_norm.weight", vision.width, 1.0)
    pair.affine("mm.0", merged, merged)
    pair.affine("mm.2", shape.text.width, merged)
    towers.add_vision_blocks(pair, vision)
    pair.close()


def _latent_attention(shape: YoutuShape) -> dict[str, object]:
    return {
        "rope.dimension_count": shape.head_rope,
        "leading_dense_block_count": shape.text.layers,
        "vocab_size": shape.text.vocabulary,
        "attention.kv_lora_rank": shape.kv_rank,
        "attention.q_lora_rank": shape.q_rank,
        "attention.key_length": shape.kv_rank + shape.head_rope,
        "attention.value_length": shape.kv_rank,
        "attention.key_length_mla": shape.head_nope + shape.head_rope,
        "attention.value_length_mla": shape.head_value,
        # Required keys of a mixture that this model does not have.
        "expert_feed_forward_length": shape.text.ff,
        "expert_shared_count": 0,
    }
