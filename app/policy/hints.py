"""What somebody may have meant who wrote a field in a way that it cannot be read."""

import difflib
import re
from typing import Any

from app.policy.source import Path

_PERCENT = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*%\s*")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:[,_' ]\d{3})+")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)")
#: Such as `30d`, `P30D`, `2 weeks`.
_TIME = re.compile(
    r"\s*P?T?(\d{1,6}(?:\.\d{1,6})?)\s*([hdwy]|hr|hours?|hrs|days?|weeks?|mo|months?|yr|years?)\s*", re.IGNORECASE
)
_HOURS_OF = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}
#: Fields whose text is given by language.
_BY_LANGUAGE = frozenset({"title", "reason", "questions", "facts"})
_YES, _NO = frozenset({"yes", "on", "y", "true", "1"}), frozenset({"no", "off", "n", "false", "0"})
_TREE_WORDS = {"or": "any", "some": "any", "and": "all", "every": "all", "none": "not", "nor": "not"}


def form_hint(path: Path, kind: str, value: Any, message: str) -> str | None:
    """`kind` is pydantic's name of the mistake; `message` is what is said of it."""
    match kind:
        case "string_type":
            return "put it in quotes" if isinstance(value, bool | int | float) else None
        case "tuple_type":
            return "write `[…]`, or a line that begins with `- ` for each"
        case "dict_type" | "model_type" | "model_attributes_type":
            return _mapping_hint(path, value)
        case "bool_type":
            word = str(value).lower()
            return "write `true`" if word in _YES else "write `false`" if word in _NO else None
    if path and str(path[-1]).endswith(("_days", "_hours")) and (hint := _time_hint(path, value)) is not None:
        return hint
    return _value_hint(value, message)


def _value_hint(value: Any, message: str) -> str | None:
    if message.startswith("must be a number") or "at most 1" in message:
        return _number_hint(value)
    if isinstance(value, str) and " id: small letters" in message:
        return _id_hint(value, "-" if "rule id" in message else "_")
    return _word_hint(value, message)


def field_hint(path: Path, word: str) -> str | None:
    """Of an unknown field, where its name alone says what is wrong."""
    if not word.isprintable():
        return "it holds a character that cannot be seen, such as a space of another kind: type the line anew"
    if not path and word == "retention":
        return "it stands in `defaults`: `defaults: {retention: {rejected_days: …}}`"
    if "when" in path:
        meant = _TREE_WORDS.get(word.lower(), word.lower())
        return f"did you mean `{meant}`?" if meant in ("any", "all", "not") else "known are `any`, `all` and `not`"
    return None


def _mapping_hint(path: Path, value: Any) -> str | None:
    if path == ("defaults", "retention"):
        return "say of which pictures: `retention: {passed_hours: …, rejected_days: …}`"
    if path and path[-1] in _BY_LANGUAGE:
        return f"say it by language: `{path[-1]}: {{en: …}}`"
    if path[:1] == ("surfaces",) and path[2:3] == ("rules",) and value in ("live", "shadow", "off", "review", "reject"):
        return f"write `{{{'then' if value in ('review', 'reject') else 'mode'}: {value}}}`"
    return None


def _time_hint(path: Path, value: Any) -> str | None:
    unit = str(path[-1]).rpartition("_")[2]
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        hours = float(found[1]) * _HOURS_OF[found[2][0].lower()]
        return f"write `{hours / (_HOURS_OF['d'] if unit == 'days' else 1):g}`: the number is of {unit}"
    if value == 0 and unit == "days":
        otherwise = {
            "retention_days": "as `defaults.retention` says",
            "reviewed_days": "as long as `passed_hours` says",
        }
        return f"without it they are kept {otherwise.get(str(path[-1]), 'until somebody deletes them')}"
    return None


def _number_hint(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g} percent are `{value / 100:g}`" if 1 < value <= 100 else None  # noqa: PLR2004 - percent
    return _number_in_words(value) if isinstance(value, str) else None


def _number_in_words(value: str) -> str | None:
    if found := _PERCENT.fullmatch(value):
        return f"write `{float(found[1].replace(',', '.')) / 100:g}`"
    if _THOUSANDS.fullmatch(value):
        plain = re.sub(r"[,_' ]", "", value)
        return f"write `{plain}`" + (", or with a point if a decimal number is meant" if "," in value else "")
    if _DECIMAL_COMMA.fullmatch(value):
        return f"write a point: `{value.replace(',', '.')}`"
    if _NUMBER.fullmatch(value.strip()):
        return "write it without quotes"
    return "a comment begins with a space and `#`" if re.match(r"[-+.\d]+#", value) else None


def _id_hint(value: str, join: str) -> str | None:
    meant = re.sub(r"[^a-z0-9]+", join, value.lower()).strip(join)
    return f"did you mean `{meant}`?" if re.fullmatch(r"[a-z][a-z0-9_-]*", meant) else None


def _word_hint(value: Any, message: str) -> str | None:
    """The nearest of the words that the message names."""
    if not isinstance(value, str) or "did you mean" in message or not message.startswith("must be "):
        return None
    if message == f"must be {value}":
        return "write it without quotes"
    words = re.findall(r"`(\w+)`", message) or re.findall(r"[\w/-]+", message.removeprefix("must be one of "))
    close = difflib.get_close_matches(value.lower(), words, n=1, cutoff=0.7) if len(value) < 64 else []  # noqa: PLR2004
    return f"did you mean `{close[0]}`?" if close else None
