"""A grammar that holds one generated answer: which of the model's tokens may come next."""

import ctypes
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from app.engine.worker.prompt import Tokenizer
from app.engine.worker.words import Logits

#: llama.cpp looks at each token that it is shown, and a vocabulary has up to 280,000: the likeliest are shown first.
_SHOWN = (1, 32, 1024)
_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])


class BrokenGrammar(Exception):
    """llama.cpp does not take the rules."""


class Grammar:
    """Of one answer; `close` frees it. Raises BrokenGrammar."""

    def __init__(self, tokenizer: Tokenizer, rules: str) -> None:
        self._tokenizer = tokenizer
        self._sampler = llama_cpp.llama_sampler_init_grammar(tokenizer.vocab, rules.encode(), b"root")
        if not self._sampler:
            raise BrokenGrammar
        ends = (llama_cpp.llama_vocab_eos(tokenizer.vocab), llama_cpp.llama_vocab_eot(tokenizer.vocab))
        self._ends = [int(end) for end in ends if end >= 0 and tokenizer.ends_generation(end)]
        self._unknown_ends = np.array(sorted(tokenizer.unknown_ends), np.int64)

    def choose(self, logits: Logits) -> int | None:
        """The likeliest token that the grammar allows; one that ends the answer where it may end. None when there is
        none: the vocabulary cannot spell what must come, or the numbers are none."""
        values = np.array(logits, np.float32)
        values[~np.isfinite(values)] = -np.inf
        for shown in (*(count for count in _SHOWN if count < values.size), values.size):
            token = self._best(values, shown)
            if token is not None:
                return token
        return None

    def may_end(self) -> bool:
        """Whether the answer is whole as it is."""
        return any(self._best_of(np.array([end]), np.zeros(1)) is not None for end in self._ends)

    def accept(self, token: int) -> None:
        """The answer goes on with this token, which `choose` gave: llama.cpp ends the process over any other."""
        llama_cpp.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._sampler)

    def _best(self, values: NDArray[np.float32], shown: int) -> int | None:
        if shown == 1:
            likeliest = np.array([np.argmax(values)])
        else:
            likeliest = np.argpartition(values, -shown)[-shown:] if shown < values.size else np.arange(values.size)
        return self._best_of(likeliest, values[likeliest])

    def _best_of(self, tokens: NDArray[np.int64], logits: NDArray[Any]) -> int | None:
        candidates = np.zeros(tokens.size, _CANDIDATE)
        candidates["id"], candidates["logit"] = tokens, logits
        if self._ends and self._unknown_ends.size:
            # To llama.cpp these are text, which fits where an answer may not end, and does not where it may.
            candidates["id"][np.isin(tokens, self._unknown_ends)] = self._ends[0]
        self._refuse(candidates)
        candidates["id"] = tokens
        for place in np.argsort(-candidates["logit"], kind="stable"):
            token = int(candidates["id"][place])
            if candidates["logit"][place] == -np.inf:
                return None
            # The spelling of a control token would fit into any text.
            if self._tokenizer.ends_generation(token) or not self._tokenizer.is_special(token):
                return token
        return None

    def _refuse(self, candidates: Any) -> None:
        """Lets llama.cpp put the logit of each that is not allowed to minus infinity."""
        array = llama_cpp.llama_token_data_array(
            data=candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data)),
            size=candidates.size,
            selected=-1,
            sorted=False,
        )
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
