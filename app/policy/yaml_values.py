"""What scalars mean, and how much a document may be nested, whichever way it is parsed.

Words of YAML 1.1 stay what they look like: `NO` is text, `12:30` is text, `2026-11-01` is text.
"""

import re
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 32
#: Longer ones become floats: Python refuses to convert thousands of digits, and no field takes such a number.
_MAX_INT_DIGITS = 18

#: What neither UTF-8 nor every database can hold; only escapes in double quotes make it.
UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")

#: YAML's core schema, without octal and hexadecimal numbers: what a scalar without quotes looks like, and the
#: characters that it can begin with.
CORE_TAGS: Mapping[str, tuple[re.Pattern[str], tuple[str, ...]]] = {
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), tuple("tTfF")),
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ("~", "n", "N", "")),
    "tag:yaml.org,2002:int": (re.compile(r"^[-+]?[0-9]+$"), tuple("-+0123456789")),
    "tag:yaml.org,2002:float": (
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
        tuple("-+.0123456789"),
    ),
}

_BY_FIRST: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _tag, (_pattern, _first) in CORE_TAGS.items():
    for _char in _first:
        _BY_FIRST.setdefault(_char, []).append((_tag, _pattern))


def plain_value(text: str) -> Any:
    """Of a scalar without quotes."""
    for tag, pattern in _BY_FIRST.get(text[:1], ()):
        if pattern.match(text):
            return tagged_value(tag, text)
    return text


def tagged_value(tag: str, text: str) -> Any:
    match tag.rpartition(":")[2]:
        case "bool":
            return text.lower() == "true"
        case "null":
            return None
        case "int":
            return int(text) if len(text) <= _MAX_INT_DIGITS else float(text)
        case "float":
            return float(text)
        case _:
            return text
