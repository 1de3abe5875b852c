"""The least that any way to answer has to compute and to read, from the weights alone.

Each weight is multiplied with each token that goes through it, and is read once for each step, shared by all pictures
at once. Left out, so that shares of a limit are rather too low than too high: attention, caches, activations, and the
chat form's own text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from app.engine.base import ModelFiles
from benchmarks.engine.contenders import Asked
from benchmarks.engine.weights import GgufReader, Weights

#: How many patches of a side become one token, and whether every picture gets the side that the file names.
_PROJECTORS = {"youtuvl": (2, False), "qwen2vl_merger": (2, False), "mlp": (1, True), "gemma3": (4, True)}
_NOTHING = Weights(0, 0)


@dataclass(frozen=True, slots=True)
class Pair:
    """`eyes` see patches, `projector` and `blocks` tokens; `output` only tokens that are judged or written."""

    eyes: Weights
    projector: Weights
    blocks: Weights
    output: Weights
    patches: int
    picture_tokens: int

    def operations(self, question_tokens: int, questions: Sequence[Asked]) -> int:
        """Of one picture: a multiplication and an addition for each weight."""
        written = sum(most for _, most in questions)
        # The last token of an answer is not read any more.
        read = self.picture_tokens + question_tokens + written - len(questions)
        seen = self.eyes.count * self.patches + self.projector.count * self.picture_tokens
        return 2 * (seen + self.blocks.count * read + self.output.count * written)

    def bytes_read(self, questions: Sequence[Asked], pictures: int, at_once: int) -> int:
        """Of so many pictures, so many of them at a time."""
        steps = max(most for _, most in questions)
        each = self.eyes.bytes + self.projector.bytes + steps * (self.blocks.bytes + self.output.bytes)
        return ceil(pictures / at_once) * each


def read_pair(files: ModelFiles, side_px: int) -> Pair | None:
    """None for a mixture of experts, whose weights are not all used, and for eyes that are not counted here."""
    with GgufReader(files.model) as model, GgufReader(files.projector) as projector:
        text, vision = model.weights(), projector.weights()
        kind, patch_px = projector.text("clip.projector_type"), projector.number("clip.vision.patch_size")
        image_px = projector.number("clip.vision.image_size")
    if kind not in _PROJECTORS or not patch_px or any("_exps." in name for name in text):
        return None
    pooled, fixed = _PROJECTORS[kind]
    patches = ((image_px if fixed and image_px else side_px) // patch_px) ** 2
    return Pair(
        eyes=_sum(vision, "v."),
        projector=_sum(vision, "mm."),
        blocks=_sum(text, "blk."),
        output=text.get("output.weight", text["token_embd.weight"]),
        patches=patches,
        picture_tokens=patches // pooled**2,
    )


def question_tokens(files: ModelFiles, questions: Sequence[Asked]) -> int:
    """Of all questions together, by the model's own vocabulary. What several begin with counts once."""
    from llama_cpp import Llama  # noqa: PLC0415 - takes its time

    vocabulary = Llama(str(files.model), vocab_only=True, verbose=False)
    asked = [tuple(vocabulary.tokenize(text.encode(), add_bos=False)) for text, _ in questions]
    return len({tokens[: end + 1] for tokens in asked for end in range(len(tokens))})


def _sum(weights: dict[str, Weights], prefix: str) -> Weights:
    return sum((weight for name, weight in weights.items() if name.startswith(prefix)), start=_NOTHING)
