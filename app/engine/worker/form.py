"""The constant text of the prompt: the catalogue's, or what the model's own template makes of it."""

from typing import Any

import llama_cpp

from app.engine.worker.prompt import Tokenizer
from app.engine.worker.protocol import Load
from app.engine.worker.template_process import form_of
from app.errors import ChatTemplateUnusable


def settled(order: Load, model: Any, tokenizer: Tokenizer) -> Load:
    """The order with the text that is used, which begins with the vocabulary's beginning of a text where that wants
    one, once. Raises ChatTemplateUnusable."""
    if order.form_of_model:
        order = _of_model(order, model, tokenizer)
    bos = _spelling(tokenizer.vocab, llama_cpp.llama_vocab_bos(tokenizer.vocab))
    if llama_cpp.llama_vocab_get_add_bos(tokenizer.vocab) and not order.before_picture.startswith(bos):
        return order.model_copy(update={"before_picture": f"{bos}{order.before_picture}"})
    return order


def _of_model(order: Load, model: Any, tokenizer: Tokenizer) -> Load:
    instead = "PORTCULLIS_CHAT_FORM can name a model of the catalogue whose chat form is used instead"
    template = llama_cpp.llama_model_chat_template(model, None)
    if not template:
        raise ChatTemplateUnusable(f"the model's file has no chat template; {instead}")
    begins, ends = llama_cpp.llama_vocab_bos(tokenizer.vocab), llama_cpp.llama_vocab_eos(tokenizer.vocab)
    try:
        form = form_of(
            template.decode("utf-8", "replace"),
            bos=_spelling(tokenizer.vocab, begins),
            eos=_spelling(tokenizer.vocab, ends),
        )
    except ChatTemplateUnusable as error:
        raise ChatTemplateUnusable(f"{error.detail}; {instead}") from error
    tokenizer.end_with(form.after_answer)
    texts = ("before_picture", "after_picture", "after_question")
    return order.model_copy(update={name: getattr(form, name) for name in texts})


def _spelling(vocab: Any, token: int) -> str:
    if token == llama_cpp.LLAMA_TOKEN_NULL:
        return ""
    return str(llama_cpp.llama_vocab_get_text(vocab, token).decode("utf-8", "replace"))
