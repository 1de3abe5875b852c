"""Writes a pair of GGUF files with random weights: `python -m benchmarks.engine.pairs SHAPE FOLDER [--type q8_0]`.

What it says is noise; how long it takes is what the shape makes it. For benchmarks and equality tests only.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.questions import CAPTION, PROBES, READING
from benchmarks.engine.shapes import SHAPES, Shape

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
_Kind = gguf.GGMLQuantizationType
#: Of text and vision. The published pair has the second.
_KINDS = {"f16": (_Kind.F16, _Kind.F16), "q8_0": (_Kind.Q8_0, _Kind.BF16)}
#: Random numbers are drawn once and cut from here: four billion would take minutes.
_POOL = 1 << 24
_BLOCK = 32
_Q8_BLOCK = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
#: Of whole numbers drawn evenly from -127 to 127.
_Q8_DEVIATION = 73.3


class _Pool:
    """Random weights in the file's own form, so that nothing has to be converted."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._normal = self._random.standard_normal(_POOL, dtype=np.float32)
        self._blocks = np.zeros(_POOL // _BLOCK, _Q8_BLOCK)
        self._blocks["values"] = self._random.integers(-127, 128, (_POOL // _BLOCK, _BLOCK), dtype=np.int8)

    def cut(self, kind: _Kind, count: int, deviation: float) -> NDArray[np.uint8]:
        """The bytes of so many numbers. They repeat, each time from another place of the pool."""
        if kind is _Kind.Q8_0:
            self._blocks["scale"] = deviation / _Q8_DEVIATION
            pool, items = self._blocks, count // _BLOCK
        else:
            scaled = self._normal[: max(_BLOCK, min(_POOL, count))] * np.float32(deviation)
            bits = scaled.astype("<f2") if kind is _Kind.F16 else (scaled.view("<u4") >> 16).astype("<u2")
            pool, items = bits, count
        start = int(self._random.integers(len(pool)))
        return np.resize(np.roll(pool, -start), items).view(np.uint8)


class _File:
    """Written tensor after tensor, so that no more than one of them is in memory."""

    def __init__(self, path: Path, architecture: str, kind: _Kind) -> None:
        self.writer = gguf.GGUFWriter(path, architecture)
        self.writer.add_name("random weights")
        self._kind = kind
        self._pool = _Pool()
        self._contents: list[Callable[[], NDArray[np.generic]]] = []

    def matrix(self, name: str, *shape: int) -> None:
        """Scaled so that activations keep their size from layer to layer."""
        kind = self._kind if shape[-1] % _BLOCK == 0 else _Kind.F16
        count, (items, size) = int(np.prod(shape)), gguf.GGML_QUANT_SIZES[kind]
        row = (*shape[:-1], shape[-1] // items * size)
        self.writer.add_tensor_info(name, row, np.dtype(np.uint8), count // items * size, raw_dtype=kind)
        self._contents.append(lambda: self._pool.cut(kind, count, shape[-1] ** -0.5))

    def vector(self, name: str, size: int, value: float) -> None:
        self.writer.add_tensor_info(name, (size,), np.dtype(np.float32), size * 4)
        self._contents.append(lambda: np.full(size, value, np.float32))

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for content in self._contents:
            self.writer.write_tensor_data(content())
        self.writer.close()


def write_pair(name: str, folder: Path, kind: str = "f16") -> tuple[Path, Path]:
    """`model.gguf` and `mmproj.gguf` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model, projector = folder / "model.gguf", folder / "mmproj.gguf"
    of_text, of_vision = _KINDS[kind]
    _write_text(model, SHAPES[name], of_text)
    _write_vision(projector, SHAPES[name], of_vision)
    return model, projector


def _write_text(path: Path, shape: Shape, kind: _Kind) -> None:
    pair = _File(path, "deepseek2", kind)
    _text_metadata(pair.writer, shape)
    _tokenizer(pair.writer, shape)
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


def _tokenizer(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Bytes, the words of the benchmark's questions (so that they are as long as with a real vocabulary), filling."""
    known = dict.fromkeys([*_letters().values(), *_words()])
    filling = (f"unused{n}" for n in range(shape.vocabulary))
    plain = [*known, *filling][: shape.vocabulary - len(_SPECIAL)]
    tokens = [*plain, *_SPECIAL]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("youtu")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(plain) + [gguf.TokenType.CONTROL] * len(_SPECIAL))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(tokens.index(_SPECIAL[0]))
    writer.add_eos_token_id(tokens.index(_SPECIAL[1]))
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)


def _words() -> Iterator[str]:
    letters = _letters()
    texts = [*PROBES, READING, CAPTION, "You are a helpful assistant.", "system user assistant Yes No yes no Yes. No."]
    for word in re.findall(r"[A-Za-z]+", " ".join(texts)):
        for spelled in (word, f" {word}"):
            yield "".join(letters[byte] for byte in spelled.encode())


def _letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(rest)}


def _write_vision(path: Path, shape: Shape, kind: _Kind) -> None:
    pair = _File(path, "clip", kind)
    _vision_metadata(pair.writer, shape)
    width, merged = shape.vision_width, 4 * shape.vision_width
    _affine(pair, "v.patch_embd", width, 3 * _PATCH_PX**2)
    _norm(pair, "v.post_ln", width)
    pair.vector("mm.input_norm.weight", width, 1.0)
    _affine(pair, "mm.0", merged, merged)
    _affine(pair, "mm.2", shape.text_width, merged)
    for index in range(shape.vision_layers):
        at = f"v.blk.{index}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            _affine(pair, f"{at}{name}", width, width)
        _norm(pair, f"{at}ln1", width)
        _norm(pair, f"{at}ln2", width)
        _affine(pair, f"{at}ffn_up", shape.vision_ff, width)
        _affine(pair, f"{at}ffn_down", width, shape.vision_ff)
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


def _affine(pair: _File, name: str, rows: int, columns: int) -> None:
    pair.matrix(f"{name}.weight", rows, columns)
    pair.vector(f"{name}.bias", rows, 0.0)


def _norm(pair: _File, name: str, width: int) -> None:
    pair.vector(f"{name}.weight", width, 1.0)
    pair.vector(f"{name}.bias", width, 0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.pairs", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--type", choices=_KINDS, default="f16")
    given = parser.parse_args()
    for written in write_pair(given.shape, given.folder, given.type):
        print(f"{written} {written.stat().st_size / 1e6:.1f} MB")
