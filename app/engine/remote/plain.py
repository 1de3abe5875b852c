"""Text that stays text in somebody else's chat template. Pure."""

import re

#: What chat templates spell their control tokens and media marks like: `<|im_end|>`, `</s>`, `<start_of_turn>`,
#: `<｜User｜>`, `<__media__>`, `[INST]`.
_MARK = re.compile(r"(<)(?=[|/\w｜][^<>\s]{0,80}>)|(\[)(?=/?\w{1,40}\])")


def plain(text: str) -> str:
    """With a space inside everything that could be a control token.

    A server puts the question into its template and then turns the whole into tokens, control tokens included, so
    that a caption could end its own turn. No API says which spellings a model knows; this breaks the shape that they
    have in common. A lone surrogate, which no JSON takes, becomes a question mark.
    """
    return _MARK.sub(lambda mark: f"{mark[0]} ", text.encode("utf-8", "replace").decode())
