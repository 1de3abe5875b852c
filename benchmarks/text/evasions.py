"""How people write a word so that a filter misses it. Each way takes a term and gives it disguised, or None where the
way has nothing to take hold of (pinyin for an English word)."""

import random
from collections.abc import Callable

import opencc

from app.signals import han, splits

#: Shorter terms are not looked for over a line break.
_WRAPS = 3

Evasion = Callable[[str, random.Random], str | None]

_TRADITIONAL = opencc.OpenCC("s2t")
_CYRILLIC = str.maketrans("aeopcxyikhtmb", "аеорсхуікһтмЬ")
_LEET = {"a": "4@", "e": "3", "i": "1!", "l": "1|", "o": "0", "s": "5$", "t": "7", "b": "8", "g": "9", "z": "2"}
_EMOJI = "😀🔥💰✨❤⭐🎁"
_SMALL_CAPS = dict(zip("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", strict=True))

#: The parts as people type them: the radicals by their full forms as often as by their own.
_TYPED = {
    "亻": "亻人",
    "扌": "扌手",
    "讠": "讠言",
    "钅": "钅金",
    "氵": "氵水",
    "贝": "贝",
    "纟": "纟",
    "忄": "忄心",
    "火": "火",
}


def _has_han(term: str) -> bool:
    return any(han.is_han(character) for character in term)


def _has_latin(term: str) -> bool:
    return sum(character.isascii() and character.isalpha() for character in term) > 1


def _latin_only(change: Callable[[str], str]) -> Evasion:
    return lambda term, rng: change(term) if _has_latin(term) else None


def _interleaved(signs: str) -> Evasion:
    def evade(term: str, rng: random.Random) -> str:
        sign = rng.choice(signs)
        return sign.join(character for character in term if not character.isspace())

    return evade


def _emoji(term: str, rng: random.Random) -> str:
    return "".join(character + rng.choice(_EMOJI) for character in term[:-1] if not character.isspace()) + term[-1]


def _repeated(term: str, rng: random.Random) -> str:
    """At least two letters, and one of them three times: digits and signs stay, they would be another number."""
    letters = [at for at, character in enumerate(term) if character.isalpha()]
    chosen = {at: rng.randint(2, 4) for at in rng.sample(letters, max(1, len(letters) // 2))}
    chosen[min(chosen)] = 3
    return "".join(character * chosen.get(at, 1) for at, character in enumerate(term))


def _leet(term: str, rng: random.Random) -> str | None:
    """Every second letter that has a digit, and at least one."""
    places = [at for at, character in enumerate(term) if character in _LEET]
    if not places or not _has_latin(term):
        return None
    chosen = set(rng.sample(places, (len(places) + 1) // 2))
    return "".join(rng.choice(_LEET[character]) if at in chosen else character for at, character in enumerate(term))


def _traditional(term: str, rng: random.Random) -> str | None:
    written = _TRADITIONAL.convert(term)
    return None if written == term else written


def _pinyin(term: str, rng: random.Random) -> str | None:
    """Some of the characters, or all, as syllables; with spaces between them or without."""
    if not _has_han(term):
        return None
    every = rng.choice((True, True, False))
    between = rng.choice(("", " "))
    written = ""
    for at, character in enumerate(term):
        sounds = han.spoken().get(character)
        syllable = sounds is not None and (every or at % 2 == 0)
        written += (between if written and every else "") + (sounds[0] if syllable and sounds else character)
    return written


def _fuzzy_pinyin(term: str, rng: random.Random) -> str | None:
    """As speakers of the south spell it: z for zh, l for n, an for ang."""
    if not _has_han(term):
        return None
    written = []
    for character in term:
        sound = (han.spoken().get(character) or (character,))[0]
        for right, wrong in (("zh", "z"), ("ch", "c"), ("sh", "s")):
            if sound.startswith(right):
                sound = wrong + sound[len(right) :]
        if sound[0] in "nl" and len(sound) > 1:
            sound = ("l" if sound[0] == "n" else "n") + sound[1:]
        if sound.endswith("ng"):
            sound = sound[:-1]
        written.append(sound)
    exact = [(han.spoken().get(character) or (character,))[0] for character in term]
    return None if written == exact else "".join(written)


def _split(term: str, rng: random.Random) -> str | None:
    if not any(character in splits.PARTS for character in term):
        return None
    parts = "".join(splits.PARTS.get(character, character) for character in term)
    return "".join(rng.choice(_TYPED.get(part, part)) for part in parts)


def _vertical(term: str, rng: random.Random) -> str:
    return "\n".join(character for character in term if not character.isspace())


def _joined(term: str, rng: random.Random) -> str | None:
    return term.replace(" ", "") if " " in term and _has_latin(term) else None


def _wrapped(term: str, rng: random.Random) -> str | None:
    if _has_han(term):
        cuts = [at for at in range(1, len(term)) if not (term[at - 1].isascii() and term[at].isascii())]
        cut = rng.choice(cuts)
        return f"{term[:cut]}\n{term[cut:]}" if len(term) >= _WRAPS else None
    return term.replace(" ", "\n", 1) if " " in term else None


def _shifted(first: int, base: str = "a") -> Callable[[str], str]:
    return lambda term: "".join(
        chr(first + ord(character) - ord(base)) if "a" <= character <= "z" else character for character in term
    )


EVASIONS: dict[str, Evasion] = {
    "plain": lambda term, rng: term,
    "capitals": _latin_only(str.upper),
    "full width": lambda term, rng: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in term),
    "bold": _latin_only(_shifted(0x1D41A)),
    "circled": _latin_only(_shifted(0x24D0)),
    "small capitals": _latin_only(lambda term: "".join(_SMALL_CAPS.get(character, character) for character in term)),
    "look-alikes": _latin_only(lambda term: term.translate(_CYRILLIC)),
    "diacritics": _latin_only(
        lambda term: "".join(character + ("\u0301" if character in "aeiouncszy" else "") for character in term)
    ),
    "zero width": lambda term, rng: "\u200b".join(term),
    "spaces between": _interleaved(" "),
    "dots between": _interleaved(".·-_*"),
    "emoji between": _emoji,
    "run together": _joined,
    "leet": _leet,
    "repeated letters": _repeated,
    "traditional": _traditional,
    "pinyin": _pinyin,
    "fuzzy pinyin": _fuzzy_pinyin,
    "split characters": _split,
    "reversed": lambda term, rng: term[::-1],
    "vertical": _vertical,
    "over a line break": _wrapped,
}


def columns(text: str, rows: int) -> str:
    """Text written from top to bottom in columns, the first on the right."""
    cells = [character for character in text if not character.isspace()]
    written = [cells[start : start + rows] for start in range(0, len(cells), rows)][::-1]
    return "\n".join("".join(column[row] if row < len(column) else "　" for column in written) for row in range(rows))
