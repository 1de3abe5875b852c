"""Writes a pair of GGUF files with random weights: `python -m benchmarks.engine.pairs SHAPE FOLDER [--type q8_0]`.

What it says is noise; how long it takes is what the shape makes it. For benchmarks and equality tests only.
"""

import argparse
from pathlib import Path

import gguf

from benchmarks.engine import qwen2vl
from benchmarks.engine.random_file import Kind, RandomFile, affine, norm
from benchmarks.engine.shapes import SHAPES, QwenShape, Shape
from benchmarks.engine.vocabulary import write_vocabulary

_PATCH_PX = 16
_WINDOW_PX = 256
_EPS = 1e-6
_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
#: One turn, as the catalogue's chat form writes it.
_TEMPLATE = (
    "<|begin_of_text|>system\nYou are a helpful assistant.<|end_of_text|>\n{% for m in messages %}"
    "{{'<|begin_of_text|>'+m.role+'\n'}}{% for c in m.content %}{{c.text}}{% endfor %}"
    "{{'<|end_of_text|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|begin_of_text|>assistant\n'}}{% endif %}"
)
#: Of text and vision. The published pair has the second.
_KINDS = {"f16": (Kind.F16, Kind.F16), "q8_0": (Kind.Q8_0, Kind.BF16)}


def write_pair(name: str, folder: Path, kind: str = "f16") -> tuple[Path, Path]:
    """`model.gguf` and `mmproj.gguf` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model, projector = folder / "model.gguf", folder / "mmproj.gguf"
    of_text, of_vision = _KINDS[kind]
    shape = SHAPES[name]
    if isinstance(shape, QwenShape):
        qwen2vl.write_text(model, shape, of_text)
        qwen2vl.write_vision(projector, shape, of_vision)
    else:
        _write_text(model, shape, of_text)
        _write_vision(projector, shape, of_vision)
    return model, projector


def _write_text(path: Path, shape: Shape, kind: Kind) -> None:
    pair = RandomFile(path, "deepseek2", kind)
    _text_metadata(pair.writer, shape)
    write_vocabulary(pair.writer, shape.vocabulary, _SPECIAL, _TEMPLATE)
    width, heads = shape.text_width, shape.text_heads
    pair.matrix("token_embd.weight", shape.vocabulary, width)
    pair.vector("output_norm.weight", width, 1.0)
    pair.matrix("output.weight", shape.vocabulary, width)
    for index in range(shape.text_layers):
        at = f"blk.{index}."
        pair.vector(f"{at}attn_norm.weight", width, 1.0)
        pair.vector(f"{at}ffn_norm.weight", width, 1.0)
        pair.matrix(f"{at}attn_q_a.weight", shape.q_rank, width)
        pair.vector(f"{at}attn_q_a_norm.weight", shape.q_rank, 1.0)
        pair.matrix(f"{at}attn_q_b.weight", heads * (shape.head_nope + shape.head_rope), shape.q_rank)
        pair.matrix(f"{at}attn_kv_a_mqa.weight", shape.kv_rank + shape.head_rope, width)
        pair.vector(f"{at}attn_kv_a_norm.weight", shape.kv_rank, 1.0)
        pair.matrix(f"{at}attn_k_b.weight", heads, shape.kv_rank, shape.head_nope)
        pair.matrix(f"{at}attn_v_b.weight", heads, shape.head_value, shape.kv_rank)
        pair.matrix(f"{at}attn_output.weight", width, heads * shape.head_value)
        pair.matrix(f"{at}ffn_gate.weight", shape.text_ff, width)
        pair.matrix(f"{at}ffn_up.weight", shape.text_ff, width)
        pair.matrix(f"{at}ffn_down.weight", width, shape.text_ff)
    pair.close()


def _text_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.text_layers)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.text_width)
    writer.add_feed_forward_length(shape.text_ff)
    writer.add_head_count(shape.text_heads)
    writer.add_head_count_kv(1)  # the latent is shared by all heads
    writer.add_layer_norm_rms_eps(_EPS)
    writer.add_rope_freq_base(500000.0)
    writer.add_rope_dimension_count(shape.head_rope)
    writer.add_leading_dense_block_count(shape.text_layers)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_kv_lora_rank(shape.kv_rank)
    writer.add_q_lora_rank(shape.q_rank)
    writer.add_key_length(shape.kv_rank + shape.head_rope)
    writer.add_value_length(shape.kv_rank)
    writer.add_key_length_mla(shape.head_nope + shape.head_rope)
    writer.add_value_length_mla(shape.head_value)
    # Required keys of a mixture that this model does not have.
    writer.add_expert_feed_forward_length(shape.text_ff)
    writer.add_expert_shared_count(0)


def _write_vision(path: Path, shape: Shape, kind: Kind) -> None:
    pair = RandomFile(path, "clip", kind)
    _vision_metadata(pair.writer, shape)
    width, merged = shape.vision_width, 4 * shape.vision_width
    affine(pair, "v.patch_embd", width, 3 * _PATCH_PX**2)
    norm(pair, "v.post_ln", width)
    pair.vector("mm.input_norm.weight", width, 1.0)
    affine(pair, "mm.0", merged, merged)
    affine(pair, "mm.2", shape.text_width, merged)
    for index in range(shape.vision_layers):
        at = f"v.blk.{index}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            affine(pair, f"{at}{name}", width, width)
        norm(pair, f"{at}ln1", width)
        norm(pair, f"{at}ln2", width)
        affine(pair, f"{at}ffn_up", shape.vision_ff, width)
        affine(pair, f"{at}ffn_down", width, shape.vision_ff)
    pair.close()


def _vision_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("youtuvl")
    writer.add_vision_projection_dim(shape.text_width)
    writer.add_vision_image_size(560)
    writer.add_vision_patch_size(_PATCH_PX)
    writer.add_vision_embedding_length(shape.vision_width)
    writer.add_vision_feed_forward_length(shape.vision_ff)
    writer.add_vision_block_count(shape.vision_layers)
    writer.add_vision_head_count(shape.vision_heads)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_vision_attention_layernorm_eps(_EPS)
    writer.add_vision_use_gelu(True)
    writer.add_vision_spatial_merge_size(2)
    writer.add_uint32("clip.vision.window_size", _WINDOW_PX)
    # Despite its name the list of the layers with full attention.
    writer.add_array("clip.vision.wa_layer_indexes", list(shape.full_attention))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.pairs", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--type", choices=_KINDS, default="f16")
    given = parser.parse_args()
    for written in write_pair(given.shape, given.folder, given.type):
        print(f"{written} {written.stat().st_size / 1e6:.1f} MB")
