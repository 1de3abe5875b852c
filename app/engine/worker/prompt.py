"""Text to tokens, with one rule: what a person wrote never becomes a control token."""

import ctypes
import re
from functools import lru_cache
from typing import Any

import llama_cpp

#: No tokenizer's longest piece is longer; text beyond this many bytes for each free cell needs no tokenizing.
_MAX_BYTES_PER_TOKEN = 128
_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_SPECIAL = _CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
#: A cut may bring out another spelling that overlapped the first; what is left after this many rounds is dropped.
_CUT_ROUNDS = 4
#: Put before a text that must not begin with a space of the tokenizer's own, and taken off again.
_FOOTHOLD = "\n"
#: Longer texts are no policy's questions, and thousands of them would fill the memory.
_REMEMBERED_CHARS = 2000


class Tokenizer:
    """Remembers what it was given before: a policy asks the same questions of every picture, and llama.cpp takes a
    millisecond for each."""

    def __init__(self, vocab: Any) -> None:
        self.vocab = vocab
        self._ends: frozenset[int] = frozenset()
        # Some (Llama's) put a space before every text, as if each were a prompt's beginning. Here texts go on.
        self._foothold = self._raw(_FOOTHOLD, False) if self._spaces() else []
        self.form = lru_cache(maxsize=16)(self._form)
        self._remembered = lru_cache(maxsize=4096)(self._plain)

    def _form(self, text: str) -> tuple[int, ...]:
        """Text of the chat form, control tokens parsed."""
        return tuple(self._tokens(text, parse_special=True))

    def plain(self, text: str) -> tuple[int, ...]:
        """Text that a person wrote: ordinary tokens only."""
        return self._remembered(text) if len(text) <= _REMEMBERED_CHARS else self._plain(text)

    def plain_once(self, text: str) -> tuple[int, ...]:
        """As `plain`, of what an uploader wrote: that is not kept, and takes no question's place."""
        return self._plain(text)

    def _plain(self, text: str) -> tuple[int, ...]:
        """`parse_special=False` alone is not enough: llama.cpp still matches user-defined
        tokens, and a tokenizer that looks up whole words may find a control token among them. Such a text is cut
        within the token's spelling, so that its pieces are ordinary text."""
        pieces = [text.encode("utf-8", "replace").decode()]
        for _ in range(_CUT_ROUNDS):
            tokens = [token for piece in pieces for token in self._tokens(piece, parse_special=False)]
            spellings = {self._spelling(token) for token in tokens if self.is_special(token)} - {""}
            if not spellings:
                break
            # After the first character of each spelling, wherever it stands.
            cut = re.compile("|".join(f"(?<={re.escape(word[0])})(?={re.escape(word[1:])})" for word in spellings))
            pieces = [part for piece in pieces for part in cut.split(piece)]
        return tuple(token for token in tokens if not self._is_control(token))

    def too_long(self, text: str, room: int) -> bool:
        """Whether it surely needs more than `room` tokens; cheap, so that a megabyte is not tokenized to be refused."""
        return len(text) > room * _MAX_BYTES_PER_TOKEN

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The token's bytes; empty for a control token unless `special`."""
        buffer = ctypes.create_string_buffer(64)
        length = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return bytes(buffer.raw[:length])

    def end_with(self, after_answer: str) -> None:
        """Let the token that the chat form puts after an answer end one, if it is a control token: not every
        vocabulary says so itself."""
        first = self.form(after_answer)[:1]
        self._ends = frozenset(token for token in first if self._is_control(token))

    @property
    def unknown_ends(self) -> frozenset[int]:
        """Tokens that end an answer though the vocabulary does not say so."""
        return frozenset(end for end in self._ends if not llama_cpp.llama_vocab_is_eog(self.vocab, end))

    def is_special(self, token: int) -> bool:
        return bool(_attributes(self.vocab, token) & _SPECIAL) or self.ends_generation(token)

    def ends_generation(self, token: int) -> bool:
        return token in self._ends or bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def _is_control(self, token: int) -> bool:
        return bool(_attributes(self.vocab, token) & _CONTROL) or self.ends_generation(token)

    def _spelling(self, token: int) -> str:
        """Empty where there is nothing to cut: a single character is nobody's control token."""
        spelling = self.piece(token, special=True).decode("utf-8", "ignore").strip()
        return spelling if len(spelling) > 1 else ""

    def _tokens(self, text: str, *, parse_special: bool) -> list[int]:
        if self._foothold and text:
            tokens = self._raw(_FOOTHOLD + text, parse_special)
            if tokens[: len(self._foothold)] == self._foothold:
                return tokens[len(self._foothold) :]
        return self._raw(text, parse_special)

    def _raw(self, text: str, parse_special: bool) -> list[int]:
        encoded = text.encode()
        room = len(encoded) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, encoded, len(encoded), buffer, room, False, parse_special)
        if count < 0:
            raise ValueError(f"a text of {len(encoded)} bytes does not tokenize")
        return list(buffer[:count])

    def _spaces(self) -> bool:
        return b"".join(self.piece(token) for token in self._raw("x", False)).startswith(b" ")


@lru_cache(maxsize=65536)
def _attributes(vocab: Any, token: int) -> int:
    return int(llama_cpp.llama_vocab_get_attr(vocab, token))
