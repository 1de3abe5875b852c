"""Matchers that no list of terms could be: addresses, contact ids, numbers with check digits.

They look at folded text, so full-width digits and look-alike letters are plain ones already.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from app.signals.patterns import MAX_FOUND

#: Between the digits of one number.
_GAP = r"[ \-.]?"

#: No letter or digit beside the match.
_ALONE = r"(?<![0-9a-z])", r"(?![0-9a-z])"


@dataclass(frozen=True, slots=True)
class Builtin:
    """`pattern`'s group `value`, or all of it, is what `accepts` judges, what an allow phrase names and what `mask`
    hides."""

    name: str
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool] = bool
    mask: Callable[[str], str] = str
    allowed: Callable[[str, frozenset[str]], bool] = lambda value, allowed: value in allowed

    def find(self, folded: str, allowed: frozenset[str]) -> Iterator[tuple[int, int]]:
        """`[start, end)` of each value found that is not allowed, the first hundred."""
        found = 0
        for match in self.pattern.finditer(folded):
            value = match["value"]
            if not self.accepts(value) or self.allowed(value, allowed):
                continue
            yield match.span("value")
            found += 1
            if found == MAX_FOUND:
                return


def _digits(value: str) -> str:
    return "".join(character for character in value if character.isdigit())


def luhn(value: str) -> bool:
    """Whether the last digit is the check digit that ISO/IEC 7812 asks for; 0000… is no card."""
    digits = [int(digit) for digit in _digits(value)]
    doubled = [digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


#: GB 11643: weights of the first 17 digits, and the check digit for each remainder.
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10x98765432"


def id_card(value: str) -> bool:
    """Whether the value is a Chinese resident identity number: its date exists and its check digit is right."""
    number = "".join(character for character in value if character.isdigit() or character == "x")
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=False))
    return _CHECKS[total % 11] == number[17]


def mask_ends(value: str, *, head: int, tail: int) -> str:
    """The value with every letter and digit between its first `head` and last `tail` as a star. A value too short to
    keep both is hidden whole."""
    places = [at for at, character in enumerate(value) if character.isalnum()]
    hidden = places[head : len(places) - tail] if len(places) > head + tail else places
    return "".join("*" if at in set(hidden) else character for at, character in enumerate(value))


def _mask_email(value: str) -> str:
    name, _, host = value.rpartition("@")
    return f"{mask_ends(name, head=1, tail=0)}@{host}"


def _host_allowed(value: str, allowed: frozenset[str]) -> bool:
    """Whether the host of an address is an allowed one or below it. What stands before an @ or after a slash says
    nothing of where it leads."""
    host = re.split(r"[/?#\\]", re.sub(r"^[a-z]+://", "", value), maxsplit=1)[0].rpartition("@")[2].partition(":")[0]
    labels = host.rstrip(".").split(".")
    return any(".".join(labels[at:]) in allowed for at in range(len(labels)))


def _digits_allowed(value: str, allowed: frozenset[str]) -> bool:
    return any(_digits(one) == _digits(value) for one in allowed if any(map(str.isdigit, one)))


def _number(digits: str) -> re.Pattern[str]:
    return re.compile(f"{_ALONE[0]}(?P<value>{digits}){_ALONE[1]}")


_TOP_LEVEL = "com|net|org|cn|io|cc|me|tv|top|xyz|vip|info|app|shop|site|club|online|live|biz|co|us|uk|ru|de|jp|hk|tw"
_HOST = rf"(?:[a-z0-9](?:[a-z0-9\-]{{0,61}}[a-z0-9])?\.){{1,5}}(?:{_TOP_LEVEL})(?![a-z0-9\-]|\.[a-z0-9])"
_PATH = r"(?:[/?#][^\s\u3000-\u303f\u4e00-\u9fff\"'<>]*)?"

_KINDS = (
    Builtin(
        "url",
        re.compile(
            r"(?P<value>(?:https?|ftp)://[^\s\u3000-\u303f\u4e00-\u9fff\"'<>]{3,}"
            rf"|(?<![0-9a-z@.\-])(?:www\.)?{_HOST}(?::\d{{1,5}})?{_PATH})"
        ),
        allowed=_host_allowed,
    ),
    Builtin(
        "email",
        re.compile(rf"(?<![0-9a-z._%+\-])(?P<value>[0-9a-z._%+\-]{{1,64}}@{_HOST})"),
        mask=_mask_email,
        allowed=_host_allowed,
    ),
    Builtin(
        "phone",
        _number(
            rf"(?:\+?86{_GAP})?1[3-9]\d{_GAP}\d{{4}}{_GAP}\d{{4}}"
            rf"|0\d{{2,3}}[ \-]\d{{7,8}}|400{_GAP}\d{{3}}{_GAP}\d{{4}}"
            rf"|\+[1-9]\d{{0,2}}(?:{_GAP}\(?\d{{2,4}}\)?){{2,4}}"
        ),
        mask=lambda value: mask_ends(value, head=3, tail=2),
        allowed=_digits_allowed,
    ),
    Builtin(
        "wechat",
        re.compile(
            r"(?:微信|薇信|威信|徽信|v信|wechat|weixin|(?<![a-z])(?:vx|wx))(?:号|id)?[ :：]{0,3}"
            r"(?P<value>[a-z][a-z0-9_\-]{5,19}|1[3-9]\d{9})(?![a-z0-9_\-])"
        ),
        mask=lambda value: mask_ends(value, head=2, tail=1),
    ),
    Builtin(
        "qq",
        re.compile(r"(?:(?<![a-z])qq|扣扣|企鹅)(?:号|群|群号)?[ :：]{0,3}(?P<value>[1-9]\d{4,10})(?!\d)"),
        mask=lambda value: mask_ends(value, head=2, tail=1),
    ),
    Builtin(
        "telegram",
        re.compile(
            r"(?:(?:https?://)?(?:t|telegram)\.me/|(?:telegram|电报|纸飞机|(?<![a-z])tg)(?:号|群|id)?[ :：]{0,3}@?)"
            r"(?P<value>[a-z]\w{4,31})(?!\w)"
        ),
        mask=lambda value: mask_ends(value, head=2, tail=1),
    ),
    Builtin(
        "bank_card",
        _number(rf"[2-6]\d{{3}}(?:{_GAP}\d{{4}}){{3}}(?:{_GAP}\d{{1,3}})?|3[47]\d{{2}}{_GAP}\d{{6}}{_GAP}\d{{5}}"),
        accepts=luhn,
        mask=lambda value: mask_ends(value, head=4, tail=4),
        allowed=_digits_allowed,
    ),
    Builtin(
        "id_card",
        _number(rf"[1-9]\d{{5}}{_GAP}(?:19|20)\d{{6}}{_GAP}\d{{3}}[0-9x]"),
        accepts=id_card,
        mask=lambda value: mask_ends(value, head=3, tail=2),
    ),
)

BUILTINS: Mapping[str, Builtin] = {kind.name: kind for kind in _KINDS}
