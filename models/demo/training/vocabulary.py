"""The tokenizer: byte-level BPE of llama.cpp's pre-tokenizer `youtu`, over a vocabulary of whole words.

llama.cpp takes a whole pre-token that is in the vocabulary before it looks at merges; English words are therefore
tokens of their own, Chinese characters come together by merges, and everything else falls apart into bytes.
"""

import functools

import regex

from .questions import every_sentence

SYSTEM = "<|begin_of_text|>system\nYou are a helpful assistant.<|end_of_text|>\n<|begin_of_text|>user\n"
BEFORE_PICTURE = SYSTEM + "<|vision_start|>"
AFTER_PICTURE = "<|vision_end|>"
AFTER_QUESTION = "<|end_of_text|>\n<|begin_of_text|>assistant\n"
SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")

# The two expressions of llama.cpp's `youtu` pre-tokenizer, applied one after the other.
_SCRIPTS = r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"
_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
_WORDS = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_CONTRACTIONS}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_CONTRACTIONS}"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ASCII_END = 127
_NEVER = 1 << 30


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(rest)}


_LETTERS = _byte_letters()


def _spell(text: str) -> str:
    return "".join(_LETTERS[b] for b in text.encode())


def pre_tokens(text: str) -> list[str]:
    pieces = [text]
    for expression in (_SCRIPTS, _WORDS):
        split: list[str] = []
        for piece in pieces:
            at = 0
            for match in regex.finditer(expression, piece):
                if match.start() > at:
                    split.append(piece[at : match.start()])
                if match.group():
                    split.append(match.group())
                at = match.end()
            if at < len(piece):
                split.append(piece[at:])
        pieces = split
    return pieces


def _build() -> tuple[list[str], list[str]]:
    tokens: dict[str, None] = {_LETTERS[i]: None for i in range(256)}
    merges: dict[str, None] = {}
    extra = [
        "system\nYou are a helpful assistant.",
        "user\n",
        "assistant\n",
        "Yes No yes no Yes. No. Yes",
        "No",
        "no",
        "yes",
    ]
    words = [word for sentence in every_sentence() + extra for word in pre_tokens(sentence)]
    characters = dict.fromkeys(c for word in words for c in word if ord(c) > _ASCII_END)
    for character in [*characters, *"是否有没"]:
        letters = [_LETTERS[b] for b in character.encode()]
        joined = letters[0]
        for letter in letters[1:]:
            merges[f"{joined} {letter}"] = None
            joined += letter
            tokens[joined] = None
    for word in words:
        if all(ord(c) <= _ASCII_END for c in word):
            tokens[_spell(word)] = None
    return list(tokens), list(merges)


_plain, MERGES = _build()
PLAIN_TOKENS = len(_plain)
TOKENS: list[str] = [*_plain, *SPECIAL]
TOKEN_ID = {token: i for i, token in enumerate(TOKENS)}
_RANK = {tuple(merge.split(" ")): i for i, merge in enumerate(MERGES)}
END_OF_TEXT = TOKEN_ID["<|end_of_text|>"]
YES_NO_IDS = tuple(TOKEN_ID[_spell(word)] for word in ("Yes", "No", "是", "否"))
_SPECIAL_EXPRESSION = "(" + "|".join(regex.escape(s) for s in SPECIAL) + ")"


def _merge(word: str) -> list[int]:
    spelled = _spell(word)
    if spelled in TOKEN_ID:
        return [TOKEN_ID[spelled]]
    parts = list(spelled)
    while len(parts) > 1:
        rank, at = min((_RANK.get((parts[i], parts[i + 1]), _NEVER), i) for i in range(len(parts) - 1))
        if rank == _NEVER:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [TOKEN_ID[part] for part in parts]


@functools.lru_cache(maxsize=8192)
def encode(text: str) -> tuple[int, ...]:
    """Token ids; control tokens written out in `text` count as such."""
    ids: list[int] = []
    for part in regex.split(_SPECIAL_EXPRESSION, text):
        if part in SPECIAL:
            ids.append(TOKEN_ID[part])
        elif part:
            ids += [i for word in pre_tokens(part) for i in _merge(word)]
    return tuple(ids)
