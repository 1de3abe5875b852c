"""What the families' files have in common: metadata and blocks of text and of vision."""

from benchmarks.engine.random_file import RandomFile
from benchmarks.engine.shapes import Text, Vision

_EPS = 1e-6
_CONTEXT_TOKENS = 32768


def describe_text(pair: RandomFile, text: Text, *, rope_base: float, more: dict[str, object]) -> None:
    """`more` as the architecture names it, without its own name before it."""
    architecture = pair.metadata["general.architecture"]
    common: dict[str, object] = {
        "block_count": text.layers,
        "context_length": _CONTEXT_TOKENS,
        "embedding_length": text.width,
        "feed_forward_length": text.ff,
        "attention.head_count": text.heads,
        "attention.head_count_kv": text.kv_heads,
        "attention.layer_norm_rms_epsilon": _EPS,
        "rope.freq_base": rope_base,
    }
    pair.metadata |= {f"{architecture}.{key}": value for key, value in (common | more).items()}


def add_embeddings(pair: RandomFile, text: Text, *, tied: bool = False) -> None:
    """`tied`: the same matrix before the first layer and after the last."""
    pair.matrix("token_embd.weight", text.vocabulary, text.width)
    pair.vector("output_norm.weight", text.width, 1.0)
    if not tied:
        pair.matrix("output.weight", text.vocabulary, text.width)


def add_attention(pair: RandomFile, at: str, text: Text, *, head: int = 0, bias: bool = False) -> None:
    """Queries, keys and values of heads that are `head` wide, of a share of the width each where that is 0."""
    head = head or text.width // text.heads
    add = pair.affine if bias else lambda name, *shape: pair.matrix(f"{name}.weight", *shape)
    add(f"{at}attn_q", head * text.heads, text.width)
    add(f"{at}attn_k", head * text.kv_heads, text.width)
    add(f"{at}attn_v", head * text.kv_heads, text.width)
    pair.matrix(f"{at}attn_output.weight", text.width, head * text.heads)


def add_norms(pair: RandomFile, at: str, text: Text) -> None:
    pair.vector(f"{at}attn_norm.weight", text.width, 1.0)
    pair.vector(f"{at}ffn_norm.weight", text.width, 1.0)


def add_gated_feed_forward(pair: RandomFile, at: str, text: Text) -> None:
    pair.matrix(f"{at}ffn_gate.weight", text.ff, text.width)
    pair.matrix(f"{at}ffn_up.weight", text.ff, text.width)
    pair.matrix(f"{at}ffn_down.weight", text.width, text.ff)


def describe_vision(
    pair: RandomFile, vision: Vision, projector: str, *, text_width: int, side_px: int, patch_px: int
) -> None:
    pair.metadata |= {
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector,
        "clip.use_gelu": True,
        "clip.vision.projection_dim": text_width,
        "clip.vision.image_size": side_px,
        "clip.vision.patch_size": patch_px,
        "clip.vision.embedding_length": vision.width,
        "clip.vision.feed_forward_length": vision.ff,
        "clip.vision.block_count": vision.layers,
        "clip.vision.attention.head_count": vision.heads,
        "clip.vision.attention.layer_norm_epsilon": _EPS,
        "clip.vision.image_mean": [0.5] * 3,
        "clip.vision.image_std": [0.5] * 3,
    }


def add_vision_blocks(pair: RandomFile, vision: Vision) -> None:
    for index in range(vision.layers):
        at = f"v.blk.{index}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            pair.affine(f"{at}{name}", vision.width, vision.width)
        pair.norm(f"{at}ln1", vision.width)
        pair.norm(f"{at}ln2", vision.width)
        pair.affine(f"{at}ffn_up", vision.ff, vision.width)
        pair.affine(f"{at}ffn_down", vision.width, vision.ff)
