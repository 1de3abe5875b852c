"""From a GGUF pair back to weights that can be trained further: `export` the other way round."""

from pathlib import Path

import gguf
import numpy as np
import torch

from .names import TEXT_NAMES, VISION_NAMES
from .shape import Shape

Arrays = dict[str, np.ndarray]


def load_pair(folder: Path, shape: Shape) -> dict[str, torch.Tensor]:
    """The state of a `DemoModel` of this shape. Raises KeyError where the pair lacks a tensor of it."""
    text, vision = _arrays(folder / "model.gguf"), _arrays(folder / "mmproj.gguf")
    weights = _text(text, shape) | _vision(vision, shape)
    return {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in weights.items()}


def _arrays(path: Path) -> Arrays:
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


def _text(theirs: Arrays, shape: Shape) -> Arrays:
    ours = {
        "text.embed.weight": theirs["token_embd.weight"],
        "text.norm.weight": theirs["output_norm.weight"],
        "text.head.weight": theirs["output.weight"],
    }
    for index in range(shape.text_layers):
        block, blk = f"text.blocks.{index}.", f"blk.{index}."
        for their, our in TEXT_NAMES.items():
            ours[f"{block}{our}.weight"] = theirs[f"{blk}{their}.weight"]
        k_up = theirs[f"{blk}attn_k_b.weight"].transpose(0, 2, 1)
        ours[f"{block}k_up.weight"] = k_up.reshape(-1, shape.kv_rank)
        ours[f"{block}v_up.weight"] = theirs[f"{blk}attn_v_b.weight"].reshape(-1, shape.kv_rank)
    return ours


def _vision(theirs: Arrays, shape: Shape) -> Arrays:
    ours = {"vision.merge_norm.weight": theirs["mm.input_norm.weight"]}
    for their, our in (("v.patch_embd", "patch"), ("v.post_ln", "post"), ("mm.0", "merge_in"), ("mm.2", "merge_out")):
        ours |= _affine(theirs, their, f"vision.{our}")
    for index in range(shape.vision_layers):
        block, blk = f"vision.blocks.{index}.", f"v.blk.{index}."
        for kind in ("weight", "bias"):
            parts = [theirs[f"{blk}attn_{part}.{kind}"] for part in "qkv"]
            ours[f"{block}qkv.{kind}"] = np.concatenate(parts)
        for their, our in VISION_NAMES.items():
            ours |= _affine(theirs, f"{blk}{their}", f"{block}{our}")
    return ours


def _affine(theirs: Arrays, their: str, our: str) -> Arrays:
    return {f"{our}.{kind}": theirs[f"{their}.{kind}"] for kind in ("weight", "bias")}
