"""From a checkpoint to the GGUF pair that llama.cpp loads: `model.gguf` (text) and `mmproj.gguf` (vision)."""

import dataclasses
from pathlib import Path

import gguf
import numpy as np
import torch

from . import vocabulary
from .model import DemoModel
from .names import TEXT_NAMES, VISION_NAMES
from .shape import PATCH_PX, Shape

_NAME = "portcullis-demo"
_EPS = 1e-6
#: One turn, as the service builds it; the service itself does not use the template.
_CHAT_TEMPLATE = (
    "{% for m in messages %}{{'<|begin_of_text|>'+m.role+'\n'}}{% if m.content is string %}{{m.content}}{% else %}"
    "{% for c in m.content %}{{c.text}}{% endfor %}{% endif %}{{'<|end_of_text|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|begin_of_text|>assistant\n'}}{% endif %}"
)
Weights = dict[str, np.ndarray]


def load_checkpoint(path: Path) -> DemoModel:
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = DemoModel(Shape(**{**state["shape"], "full_attention": tuple(state["shape"]["full_attention"])}))
    model.load_state_dict(state["model"])
    return model.eval()


def export(model: DemoModel, folder: Path) -> tuple[Path, Path]:
    """Matrices as F16, vectors as F32. The two paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}
    text, vision = folder / "model.gguf", folder / "mmproj.gguf"
    _write_text(text, model.shape, weights)
    _write_vision(vision, model.shape, weights)
    return text, vision


class _File:
    """A GGUF file in the making."""

    def __init__(self, path: Path, architecture: str) -> None:
        self.writer = gguf.GGUFWriter(path, architecture)

    def put(self, name: str, array: np.ndarray) -> None:
        kind = np.float16 if array.ndim > 1 else np.float32
        self.writer.add_tensor(name, np.ascontiguousarray(array, dtype=kind))

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def _write_text(path: Path, shape: Shape, weights: Weights) -> None:
    file = _File(path, "deepseek2")
    _text_metadata(file.writer, shape)
    _tokenizer_metadata(file.writer)
    file.put("token_embd.weight", weights["text.embed.weight"])
    file.put("output_norm.weight", weights["text.norm.weight"])
    file.put("output.weight", weights["text.head.weight"])
    for index in range(shape.text_layers):
        _put_text_block(file, shape, weights, index)
    file.close()


def _text_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(_NAME)
    writer.add_license("Apache-2.0")
    writer.add_block_count(shape.text_layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.text_width)
    writer.add_feed_forward_length(shape.text_ff)
    writer.add_head_count(shape.text_heads)
    writer.add_head_count_kv(1)  # the latent is shared by all heads
    writer.add_layer_norm_rms_eps(_EPS)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_rope)
    writer.add_leading_dense_block_count(shape.text_layers)
    writer.add_vocab_size(len(vocabulary.TOKENS))
    writer.add_kv_lora_rank(shape.kv_rank)
    writer.add_q_lora_rank(0)  # 0 selects the plain `attn_q.weight`; the key has to be there
    writer.add_key_length(shape.kv_rank + shape.head_rope)
    writer.add_value_length(shape.kv_rank)
    writer.add_key_length_mla(shape.head_nope + shape.head_rope)
    writer.add_value_length_mla(shape.head_value)
    # Required keys of a mixture that this model does not have.
    writer.add_expert_feed_forward_length(shape.text_ff)
    writer.add_expert_shared_count(0)


def _tokenizer_metadata(writer: gguf.GGUFWriter) -> None:
    kinds = [gguf.TokenType.NORMAL] * vocabulary.PLAIN_TOKENS + [gguf.TokenType.CONTROL] * len(vocabulary.SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("youtu")
    writer.add_token_list(vocabulary.TOKENS)
    writer.add_token_types(kinds)
    writer.add_token_merges(vocabulary.MERGES)
    writer.add_bos_token_id(vocabulary.TOKEN_ID["<|begin_of_text|>"])
    writer.add_eos_token_id(vocabulary.END_OF_TEXT)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_CHAT_TEMPLATE)


def _put_text_block(file: _File, shape: Shape, weights: Weights, index: int) -> None:
    ours, theirs = f"text.blocks.{index}.", f"blk.{index}."
    for their, our in TEXT_NAMES.items():
        file.put(f"{theirs}{their}.weight", weights[f"{ours}{our}.weight"])
    # llama.cpp absorbs the up-projections into the query and the output; keys are kept transposed for that.
    k_up = weights[f"{ours}k_up.weight"].reshape(shape.text_heads, shape.head_nope, shape.kv_rank)
    file.put(f"{theirs}attn_k_b.weight", k_up.transpose(0, 2, 1))
    v_up = weights[f"{ours}v_up.weight"].reshape(shape.text_heads, shape.head_value, shape.kv_rank)
    file.put(f"{theirs}attn_v_b.weight", v_up)


def _write_vision(path: Path, shape: Shape, weights: Weights) -> None:
    file = _File(path, "clip")
    _vision_metadata(file.writer, shape)
    for their, our in (("v.patch_embd", "patch"), ("v.post_ln", "post"), ("mm.0", "merge_in"), ("mm.2", "merge_out")):
        _put_affine(file, their, weights, f"vision.{our}")
    file.put("mm.input_norm.weight", weights["vision.merge_norm.weight"])
    for index in range(shape.vision_layers):
        ours, theirs = f"vision.blocks.{index}.", f"v.blk.{index}."
        parts = [np.split(weights[f"{ours}qkv.{kind}"], 3) for kind in ("weight", "bias")]
        for name, weight, bias in zip(("attn_q", "attn_k", "attn_v"), *parts, strict=True):
            file.put(f"{theirs}{name}.weight", weight)
            file.put(f"{theirs}{name}.bias", bias)
        for name, our in VISION_NAMES.items():
            _put_affine(file, f"{theirs}{name}", weights, f"{ours}{our}")
    file.close()


def _put_affine(file: _File, theirs: str, weights: Weights, ours: str) -> None:
    file.put(f"{theirs}.weight", weights[f"{ours}.weight"])
    file.put(f"{theirs}.bias", weights[f"{ours}.bias"])


def _vision_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_name(_NAME)
    writer.add_license("Apache-2.0")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("youtuvl")
    writer.add_vision_projection_dim(shape.text_width)
    writer.add_vision_image_size(560)  # only the warm-up's; the preprocessor goes by the token budget
    writer.add_vision_patch_size(PATCH_PX)
    writer.add_vision_embedding_length(shape.vision_width)
    writer.add_vision_feed_forward_length(shape.vision_ff)
    writer.add_vision_block_count(shape.vision_layers)
    writer.add_vision_head_count(shape.vision_heads)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_vision_attention_layernorm_eps(_EPS)
    writer.add_vision_use_gelu(True)
    writer.add_vision_spatial_merge_size(2)
    writer.add_uint32("clip.vision.window_size", shape.window_px)
    # Despite its name the list of the layers with full attention.
    writer.add_array("clip.vision.wa_layer_indexes", list(shape.full_attention))


def parameter_count(model: DemoModel) -> int:
    return sum(p.numel() for p in model.parameters())


def describe(model: DemoModel) -> str:
    return f"{parameter_count(model) / 1e6:.1f} M parameters, {dataclasses.asdict(model.shape)}"
