"""A JSON Schema as a grammar that llama.cpp can hold a generated answer to. Pure.

A part of the language is taken, and everything else is refused rather than passed over: an answer that is said to meet
the schema does. Grammar language: llama.cpp's grammars/README.md (GBNF).
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeGuard

from app.errors import SchemaUnsupported

_MOST_CHARACTERS = 16_384
_MOST_PARTS = 256
_DEEPEST = 12
_MOST_CHOICES = 256
#: llama.cpp writes a repetition out as so many rules, and looks at every place where it may stand.
_MOST_REPETITIONS = 512

_SAID = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"})
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_PRIMITIVES = {
    "character": r'[^"\\\x00-\x1F\x7F] | "\\" ["\\/bfnrt]',
    "string": r'"\"" character* "\""',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,14})',
    "number": 'integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
}
_NEEDED = {"string": ("character",), "number": ("integer",)}
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


@lru_cache(maxsize=256)
def schema_grammar(text: str) -> str:
    """GBNF rules, the first symbol `root`. The answer is compact JSON; every property of an object is written, in the
    schema's order, and no other. Raises SchemaUnsupported with the place of what is wrong."""
    return _Rules(_parsed(text)).text()


def _parsed(text: str) -> object:
    if len(text) > _MOST_CHARACTERS:
        raise SchemaUnsupported(f"the schema has {len(text)} characters; at most {_MOST_CHARACTERS} are taken")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise SchemaUnsupported(f"the schema is not JSON: {error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


class _Rules:
    def __init__(self, schema: object) -> None:
        self._rules: dict[str, str] = {}
        self._parts = 0
        self._repetitions = 0
        self._rules["root"] = self._symbol(schema, "$", 0)

    def text(self) -> str:
        return "\n".join(f"{name} ::= {rule}" for name, rule in self._rules.items())

    def _symbol(self, schema: object, at: str, depth: int) -> str:
        """What matches one value: the name of a rule."""
        self._parts += 1
        if self._parts > _MOST_PARTS or depth > _DEEPEST:
            raise SchemaUnsupported(
                f"{at}: too large; at most {_MOST_PARTS} parts are taken, {_DEEPEST} within each other"
            )
        if not isinstance(schema, dict):
            raise SchemaUnsupported(f"{at}: a schema must be an object that says a type")
        name, rule = f"part{self._parts}", self._rule(schema, at, depth)
        if rule in _PRIMITIVES:
            return self._primitive(rule)
        self._rules[name] = rule
        return name

    def _rule(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        for keyword, read in (("const", self._constant), ("enum", self._enumeration), ("anyOf", self._any_of)):
            if keyword in schema:
                _only(schema, at, {keyword, "type"} if keyword != "anyOf" else {keyword})
                return read(schema, at, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            _only(schema, at, {"type"})
            return self._any_of({"anyOf": [{"type": one} for one in kind]}, at, depth)
        if not isinstance(kind, str) or kind not in _TYPES:
            raise SchemaUnsupported(f"{at}: `type` must be one of {', '.join(sorted(_TYPES))}, not {json.dumps(kind)}")
        readers: dict[str, Callable[[Mapping[str, Any], str, int], str]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
        }
        if kind in readers:
            return readers[kind](schema, at, depth)
        _only(schema, at, {"type"})
        return str(kind)

    def _object(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        _only(schema, at, {"type", "properties", "required", "additionalProperties"})
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise SchemaUnsupported(f"{at}: `properties` must be an object")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(name in properties for name in required):
            raise SchemaUnsupported(f"{at}: `required` must list names of `properties`")
        members = [
            f"{_literal(_spelled(name) + ':', at)} {self._symbol(inner, f'{at}.{name}', depth + 1)}"
            for name, inner in properties.items()
        ]
        return " ".join(['"{"', ' "," '.join(members), '"}"'])

    def _array(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        _only(schema, at, {"type", "items", "minItems", "maxItems"})
        if "items" not in schema:
            raise SchemaUnsupported(f"{at}: an array needs `items`")
        least, most = self._bounds(schema, "minItems", "maxItems", at)
        item = self._symbol(schema["items"], f"{at}[]", depth + 1)
        if most == 0:
            return '"[" "]"'
        further = _repeated(f'("," {item})', max(0, least - 1), None if most is None else most - 1)
        return f'"[" {item} {further} "]"' if least else f'"[" ({item} {further})? "]"'

    def _string(self, schema: Mapping[str, Any], at: str, _depth: int) -> str:
        _only(schema, at, {"type", "minLength", "maxLength"})
        least, most = self._bounds(schema, "minLength", "maxLength", at)
        if (least, most) == (0, None):
            return "string"
        self._primitive("character")
        return rf'"\"" {_repeated("character", least, most)} "\""'

    def _integer(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        _only(schema, at, {"type", "minimum", "maximum"})
        if "minimum" not in schema and "maximum" not in schema:
            return "integer"
        least, most = schema.get("minimum"), schema.get("maximum")
        if not _is_whole(least) or not _is_whole(most) or not 0 <= most - least < _MOST_CHOICES:
            raise SchemaUnsupported(
                f"{at}: `minimum` and `maximum` must be whole numbers, both given, {_MOST_CHOICES} apart at most"
            )
        return self._enumeration({"enum": list(range(least, most + 1))}, at, depth)

    def _constant(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        return self._enumeration({**schema, "enum": [schema["const"]]}, at, depth)

    def _enumeration(self, schema: Mapping[str, Any], at: str, _depth: int) -> str:
        values = schema["enum"]
        if not isinstance(values, list) or not 0 < len(values) <= _MOST_CHOICES:
            raise SchemaUnsupported(f"{at}: `enum` must list 1 to {_MOST_CHOICES} values")
        if any(isinstance(value, dict | list) for value in values):
            raise SchemaUnsupported(f"{at}: `enum` and `const` take texts, numbers, booleans and null")
        if "type" in schema and not all(_is_of(value, schema["type"]) for value in values):
            raise SchemaUnsupported(f"{at}: a value of `enum` or `const` is not of its `type`")
        try:
            spelled = [_spelled(value) for value in values]
        except ValueError as error:
            raise SchemaUnsupported(f"{at}: {error}") from error
        return " | ".join(_literal(one, at) for one in dict.fromkeys(spelled))

    def _any_of(self, schema: Mapping[str, Any], at: str, depth: int) -> str:
        among = schema["anyOf"]
        if not isinstance(among, list) or not among:
            raise SchemaUnsupported(f"{at}: `anyOf` must list schemas")
        return " | ".join(self._symbol(one, f"{at}|{number}", depth + 1) for number, one in enumerate(among))

    def _bounds(self, schema: Mapping[str, Any], lower: str, upper: str, at: str) -> tuple[int, int | None]:
        least, most = schema.get(lower, 0), schema.get(upper)
        sound = _is_whole(least) and least >= 0 and (most is None or (_is_whole(most) and most >= least))
        if not sound:
            raise SchemaUnsupported(f"{at}: `{lower}` and `{upper}` must be whole numbers from 0, in order")
        self._repetitions += least if most is None else most
        if self._repetitions > _MOST_REPETITIONS:
            raise SchemaUnsupported(
                f"{at}: `{lower}` and `{upper}` of the whole schema may add up to {_MOST_REPETITIONS}"
            )
        return least, most

    def _primitive(self, name: str) -> str:
        for needed in (name, *_NEEDED.get(name, ())):
            self._rules[needed] = _PRIMITIVES[needed]
        return name


def _only(schema: Mapping[str, Any], at: str, known: set[str]) -> None:
    unknown = sorted(set(schema) - known - _SAID)
    if unknown:
        raise SchemaUnsupported(f"{at}: `{unknown[0]}` is not supported here")


def _repeated(symbol: str, least: int, most: int | None) -> str:
    return "" if most == 0 else f"{symbol}{{{least},{'' if most is None else most}}}"


def _spelled(value: object) -> str:
    """As compact JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _literal(text: str, at: str) -> str:
    """As a quoted literal of the grammar."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SchemaUnsupported(f"{at}: a text holds half a character") from error
    return '"' + "".join(_ESCAPED.get(character, character) for character in text) + '"'


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_of(value: object, kind: object) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    own = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "integer": _is_whole(value),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }
    return any(own.get(one, False) if isinstance(one, str) else False for one in kinds)
