"""Random-weight pairs of Qwen2-VL's architecture: positions of three parts (M-RoPE), grouped attention."""

from pathlib import Path

from benchmarks.engine.random_file import Kind, RandomFile, affine, norm
from benchmarks.engine.shapes import QwenShape
from benchmarks.engine.vocabulary import write_vocabulary

_PATCH_PX = 14
_EPS = 1e-6
_CONTEXT_TOKENS = 32768
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
    pair = RandomFile(path, "qwen2vl", kind)
    writer, width = pair.writer, shape.text_width
    writer.add_block_count(shape.text_layers)
    writer.add_context_length(_CONTEXT_TOKENS)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(shape.text_ff)
    writer.add_head_count(shape.text_heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(_EPS)
    writer.add_rope_freq_base(1e6)
    writer.add_rope_dimension_sections([*shape.rope_sections, 0])
    write_vocabulary(writer, shape.vocabulary, _SPECIAL, _TEMPLATE)
    pair.matrix("token_embd.weight", shape.vocabulary, width)
    pair.vector("output_norm.weight", width, 1.0)
    pair.matrix("output.weight", shape.vocabulary, width)
    grouped = width // shape.text_heads * shape.kv_heads
    for index in range(shape.text_layers):
        at = f"blk.{index}."
        pair.vector(f"{at}attn_norm.weight", width, 1.0)
        pair.vector(f"{at}ffn_norm.weight", width, 1.0)
        affine(pair, f"{at}attn_q", width, width)
        affine(pair, f"{at}attn_k", grouped, width)
        affine(pair, f"{at}attn_v", grouped, width)
        pair.matrix(f"{at}attn_output.weight", width, width)
        pair.matrix(f"{at}ffn_gate.weight", shape.text_ff, width)
        pair.matrix(f"{at}ffn_up.weight", shape.text_ff, width)
        pair.matrix(f"{at}ffn_down.weight", width, shape.text_ff)
    pair.close()


def write_vision(path: Path, shape: QwenShape, kind: Kind) -> None:
    pair = RandomFile(path, "clip", kind)
    _vision_metadata(pair, shape)
    width, merged = shape.vision_width, 4 * shape.vision_width
    # One for each of two frames; a picture is shown to both.
    pair.matrix("v.patch_embd.weight", width, 3, _PATCH_PX, _PATCH_PX)
    pair.matrix("v.patch_embd.weight.1", width, 3, _PATCH_PX, _PATCH_PX)
    norm(pair, "v.post_ln", width)
    affine(pair, "mm.0", merged, merged)
    affine(pair, "mm.2", shape.text_width, merged)
    for index in range(shape.vision_layers):
        at = f"v.blk.{index}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            affine(pair, f"{at}{name}", width, width)
        norm(pair, f"{at}ln1", width)
        norm(pair, f"{at}ln2", width)
        affine(pair, f"{at}ffn_up", merged, width)
        affine(pair, f"{at}ffn_down", width, merged)
    pair.close()


def _vision_metadata(pair: RandomFile, shape: QwenShape) -> None:
    writer = pair.writer
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("qwen2vl_merger")
    writer.add_bool("clip.use_gelu", True)
    writer.add_vision_projection_dim(shape.text_width)
    writer.add_vision_image_size(560)
    writer.add_vision_patch_size(_PATCH_PX)
    writer.add_vision_embedding_length(shape.vision_width)
    writer.add_vision_feed_forward_length(4 * shape.vision_width)
    writer.add_vision_block_count(shape.vision_layers)
    writer.add_vision_head_count(shape.vision_heads)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_vision_attention_layernorm_eps(_EPS)
