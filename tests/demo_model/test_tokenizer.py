"""Training's tokenizer and llama.cpp's are the same. Needs `regex`, which only training has: without it this skips,
and the parity test, whose reference was made with that tokenizer, is what is left."""

import pytest

pytest.importorskip(
    "regex", reason="the trainer's tokenizer needs the training environment (requirements/training.lock)"
)

from training.llama import Llama
from training.questions import every_sentence, unseen_questions
from training.vocabulary import encode


def test_all_wordings_become_the_same_tokens(llama: Llama) -> None:
    for text in [*every_sentence(), *(prompt for _, _, prompt in unseen_questions())]:
        assert llama.tokens(text) == list(encode(text)), text


@pytest.mark.parametrize("text", ["它是不是武器？", "Hello,  world\n\n1234 don't", "<|end_of_text|>x", "🔪 a knife 刀"])
def test_foreign_text_as_well(llama: Llama, text: str) -> None:
    assert llama.tokens(text) == list(encode(text))
