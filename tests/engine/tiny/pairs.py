"""The architectures: what each reads from its file, at the smallest size that it loads with.

`qwen2vl` has positions of three parts for a picture (M-RoPE), of which a picture of n tokens uses fewer than n.
`llava` has ordinary positions, a tokenizer that puts spaces before texts, and a template without control tokens.
`gemma3` sees the tokens of a picture in both directions, and has windows of attention.
`mamba` keeps no cells that could be shared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine import gguf_file
from benchmarks.engine.gguf_file import Metadata, Tensor
from tests.engine.tiny.vocabularies import byte_pairs, pieces, size

WIDTH, LAYERS, HEADS, FF = 64, 2, 4, 96
_VISION_WIDTH, _VISION_LAYERS, _VISION_HEADS, _VISION_FF, _PATCH_PX = 32, 2, 2, 48, 14
_EPS = 1e-6
CONTEXT_LENGTH = 4096

QWEN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ 'USER: ' if message.role == 'user' else 'ASSISTANT: ' }}"
    "{{ message.content }}{{ '\n' if message.role == 'user' else eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{% if message.content is string %}{{ message.content | trim }}{% else %}"
    "{% for part in message.content %}{{ part.text | trim }}{% endfor %}{% endif %}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass
class Weights:
    """Of one file, by name. Matrices keep the size of what goes through them."""

    seed: int
    tensors: dict[str, NDArray[np.float32] | NDArray[np.float16]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def matrix(self, name: str, *shape: int, half: bool = False) -> None:
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(np.prod(shape[1:]) ** -0.5)
        self.tensors[name] = values.astype(np.float16) if half else values

    def vector(self, name: str, length: int, value: float) -> None:
        self.tensors[name] = np.full(length, value, np.float32)

    def affine(self, name: str, rows: int, columns: int) -> None:
        self.matrix(f"{name}.weight", rows, columns)
        self.vector(f"{name}.bias", rows, 0.0)

    def norm(self, name: str, length: int) -> None:
        self.vector(f"{name}.weight", length, 1.0)
        self.vector(f"{name}.bias", length, 0.0)


def write_pair(name: str, folder: Path, *, width: int = WIDTH, template: str | None = "its own") -> tuple[Path, Path]:
    """`model.gguf` and `mmproj.gguf` in the folder. `template` None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    (metadata, weights), eyes = parts(name, width)
    if template is None:
        metadata.pop("tokenizer.chat_template", None)
    elif template != "its own":
        metadata["tokenizer.chat_template"] = template
    model = write_gguf(folder / "model.gguf", metadata, weights)
    return model, write_gguf(folder / "mmproj.gguf", *eyes)


def write_gguf(path: Path, metadata: Metadata, weights: Weights) -> Path:
    return gguf_file.write_gguf(path, metadata, [Tensor.of(name, values) for name, values in weights.tensors.items()])


Part = tuple[dict[str, object], Weights]


def parts(name: str, width: int = WIDTH) -> tuple[Part, Part]:
    """What is written into model and projector."""
    text, vision = _ARCHITECTURES[name]
    return text(width), vision(width)


def _qwen2vl(width: int) -> Part:
    special = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
    vocabulary = byte_pairs(special, pre="qwen2", end="<|im_end|>")
    # Of each head's rotary pairs so many turn with time, height and width.
    metadata = _text_metadata("qwen2vl", width) | {"qwen2vl.rope.dimension_sections": [2, 3, 3, 0]}
    weights = _text_weights(1, width, size(vocabulary))
    for index in range(LAYERS):
        for part in "qkv":
            weights.vector(f"blk.{index}.attn_{part}.bias", width, 0.0)
    return metadata | vocabulary | {"tokenizer.chat_template": QWEN_TEMPLATE}, weights


def _llava(width: int) -> Part:
    vocabulary = pieces(("<s>", "</s>"), begin="<s>", end="</s>", space_prefix=True)
    metadata = _text_metadata("llama", width) | {"llama.rope.dimension_count": width // HEADS}
    return (
        metadata | vocabulary | {"tokenizer.chat_template": _LLAVA_TEMPLATE},
        _text_weights(2, width, size(vocabulary)),
    )


def _gemma3(width: int) -> Part:
    special = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>")
    vocabulary = pieces(special, begin="<bos>", end="<eos>", space_prefix=False)
    head = width // HEADS
    metadata = _text_metadata("gemma3", width) | {
        "gemma3.attention.key_length": head,
        "gemma3.attention.value_length": head,
        "gemma3.attention.sliding_window": 48,
        "gemma3.attention.sliding_window_pattern": 2,
    }
    weights = _text_weights(3, width, size(vocabulary))
    for index in range(LAYERS):
        for name, length in (("attn_q", head), ("attn_k", head), ("post_attention", width), ("post_ffw", width)):
            weights.vector(f"blk.{index}.{name}_norm.weight", length, 1.0)
    return metadata | vocabulary | {"tokenizer.chat_template": _GEMMA_TEMPLATE}, weights


def _mamba(width: int) -> Part:
    vocabulary = byte_pairs(("<|im_start|>", "<|im_end|>"), pre="qwen2", end="<|im_end|>")
    inner, state, rank, kernel = 2 * width, 8, 4, 4
    metadata: dict[str, object] = {
        "general.architecture": "mamba",
        "mamba.context_length": CONTEXT_LENGTH,
        "mamba.embedding_length": width,
        "mamba.feed_forward_length": 0,
        "mamba.attention.head_count": 0,
        "mamba.block_count": LAYERS,
        "mamba.attention.layer_norm_rms_epsilon": _EPS,
        "mamba.ssm.conv_kernel": kernel,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": state,
        "mamba.ssm.time_step_rank": rank,
    }
    weights = Weights(4)
    weights.matrix("token_embd.weight", size(vocabulary), width)
    weights.vector("output_norm.weight", width, 1.0)
    for index in range(LAYERS):
        at = f"blk.{index}."
        weights.vector(f"{at}attn_norm.weight", width, 1.0)
        weights.matrix(f"{at}ssm_in.weight", 2 * inner, width)
        weights.matrix(f"{at}ssm_conv1d.weight", inner, kernel)
        weights.vector(f"{at}ssm_conv1d.bias", inner, 0.0)
        weights.matrix(f"{at}ssm_x.weight", rank + 2 * state, inner)
        weights.matrix(f"{at}ssm_dt.weight", inner, rank)
        weights.vector(f"{at}ssm_dt.bias", inner, 0.0)
        weights.tensors[f"{at}ssm_a"] = np.full((inner, state), -1.0, np.float32)
        weights.vector(f"{at}ssm_d", inner, 1.0)
        weights.matrix(f"{at}ssm_out.weight", width, inner)
    return metadata | vocabulary | {"tokenizer.chat_template": QWEN_TEMPLATE}, weights


def _text_metadata(architecture: str, width: int) -> dict[str, object]:
    return {
        "general.architecture": architecture,
        f"{architecture}.context_length": CONTEXT_LENGTH,
        f"{architecture}.embedding_length": width,
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.feed_forward_length": FF,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": _EPS,
        f"{architecture}.rope.freq_base": 10000.0,
    }


def _text_weights(seed: int, width: int, vocabulary: int) -> Weights:
    weights = Weights(seed)
    weights.matrix("token_embd.weight", vocabulary, width)
    weights.matrix("output.weight", vocabulary, width)
    weights.vector("output_norm.weight", width, 1.0)
    for index in range(LAYERS):
        at = f"blk.{index}."
        weights.vector(f"{at}attn_norm.weight", width, 1.0)
        weights.vector(f"{at}ffn_norm.weight", width, 1.0)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{at}{name}.weight", width, width)
        weights.matrix(f"{at}ffn_gate.weight", FF, width)
        weights.matrix(f"{at}ffn_up.weight", FF, width)
        weights.matrix(f"{at}ffn_down.weight", width, FF)
    return weights


def _qwen2vl_eyes(width: int) -> Part:
    metadata, weights = _eyes("qwen2vl_merger", width, side_px=112)
    merged = 4 * _VISION_WIDTH
    weights.matrix("v.patch_embd.weight.1", _VISION_WIDTH, 3, _PATCH_PX, _PATCH_PX, half=True)
    weights.norm("v.post_ln", _VISION_WIDTH)
    weights.affine("mm.0", merged, merged)
    weights.affine("mm.2", width, merged)
    return metadata, weights


def _llava_eyes(width: int) -> Part:
    metadata, weights = _eyes("mlp", width, side_px=84)
    weights.matrix("v.class_embd", _VISION_WIDTH)
    weights.matrix("v.position_embd.weight", 1 + 6 * 6, _VISION_WIDTH)
    weights.norm("v.pre_ln", _VISION_WIDTH)
    weights.affine("mm.0", width, _VISION_WIDTH)
    weights.affine("mm.2", width, width)
    return metadata, weights


def _gemma3_eyes(width: int) -> Part:
    metadata, weights = _eyes("gemma3", width, side_px=112)
    weights.matrix("v.position_embd.weight", 8 * 8, _VISION_WIDTH)
    weights.vector("v.patch_embd.bias", _VISION_WIDTH, 0.0)
    weights.norm("v.post_ln", _VISION_WIDTH)
    weights.matrix("mm.input_projection.weight", _VISION_WIDTH, width)
    weights.vector("mm.soft_emb_norm.weight", _VISION_WIDTH, 1.0)
    return metadata | {"clip.vision.projector.scale_factor": 2}, weights


def _eyes(projector: str, width: int, *, side_px: int) -> Part:
    metadata: dict[str, object] = {
        "general.architecture": "clip",
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector,
        "clip.use_gelu": True,
        "clip.vision.image_size": side_px,
        "clip.vision.patch_size": _PATCH_PX,
        "clip.vision.embedding_length": _VISION_WIDTH,
        "clip.vision.feed_forward_length": _VISION_FF,
        "clip.vision.block_count": _VISION_LAYERS,
        "clip.vision.projection_dim": width,
        "clip.vision.attention.head_count": _VISION_HEADS,
        "clip.vision.attention.layer_norm_epsilon": _EPS,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
    }
    weights = Weights(9)
    weights.matrix("v.patch_embd.weight", _VISION_WIDTH, 3, _PATCH_PX, _PATCH_PX, half=True)
    for index in range(_VISION_LAYERS):
        at = f"v.blk.{index}."
        weights.norm(f"{at}ln1", _VISION_WIDTH)
        weights.norm(f"{at}ln2", _VISION_WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            weights.affine(f"{at}{name}", _VISION_WIDTH, _VISION_WIDTH)
        weights.affine(f"{at}ffn_up", _VISION_FF, _VISION_WIDTH)
        weights.affine(f"{at}ffn_down", _VISION_WIDTH, _VISION_FF)
    return metadata, weights


_ARCHITECTURES: dict[str, tuple[Callable[[int], Part], Callable[[int], Part]]] = {
    "qwen2vl": (_qwen2vl, _qwen2vl_eyes),
    "llava": (_llava, _llava_eyes),
    "gemma3": (_gemma3, _gemma3_eyes),
    "mamba": (_mamba, _qwen2vl_eyes),
}
