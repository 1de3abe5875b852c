"""Generated JSON: what a server is asked for, and whether it gave it. Pure.

Speaks the part of JSON Schema that `app.engine.schema` takes, and means by it the same: every property of an object is
written, in the schema's order, and no other.
"""

import json
import math
from collections.abc import Mapping
from typing import Any


def response_format(schema_text: str) -> dict[str, Any]:
    """As vLLM, SGLang, llama-server and OpenAI take it."""
    schema = _closed(json.loads(schema_text))
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def held_to(text: str, schema_text: str) -> str | None:
    """The answer as compact JSON; None for one that does not meet the schema, from a server that did not hold to it."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse)
        found = json.dumps(_ordered(value, json.loads(schema_text)), ensure_ascii=False, separators=(",", ":"))
        found.encode()  # half a character is no text
    except (ValueError, RecursionError):
        return None
    return found


def _closed(schema: Any) -> Any:
    """With what servers would leave open."""
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    if schema.get("type") == "object":
        properties = {name: _closed(inner) for name, inner in schema.get("properties", {}).items()}
        closed |= {"properties": properties, "required": list(properties), "additionalProperties": False}
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if "anyOf" in schema:
        closed["anyOf"] = [_closed(one) for one in schema["anyOf"]]
    return closed


def _ordered(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value, its properties in the schema's order. Raises ValueError where it does not meet the schema."""
    if "anyOf" in schema:
        return _first_of(value, schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return _require(value, any(_same(value, one) for one in schema.get("enum", [schema.get("const")])))
    kind = schema["type"]
    if isinstance(kind, list):
        return _first_of(value, [{"type": one} for one in kind])
    if kind == "object":
        properties = schema.get("properties", {})
        _require(value, isinstance(value, dict) and value.keys() == properties.keys())
        return {name: _ordered(value[name], inner) for name, inner in properties.items()}
    if kind == "array":
        _require(value, isinstance(value, list) and _within(len(value), schema, "minItems", "maxItems"))
        return [_ordered(one, schema["items"]) for one in value]
    return _require(value, _is_plain(value, kind, schema))


def _first_of(value: Any, schemas: list[Mapping[str, Any]]) -> Any:
    for schema in schemas:
        try:
            return _ordered(value, schema)
        except ValueError:
            continue
    raise ValueError("none of these")


def _is_plain(value: Any, kind: str, schema: Mapping[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str) and _within(len(value), schema, "minLength", "maxLength")
    if kind == "integer":
        return number and isinstance(value, int) and _within(value, schema, "minimum", "maximum")
    if kind == "number":
        return number and math.isfinite(value)
    return isinstance(value, bool) if kind == "boolean" else value is None


def _within(size: int, schema: Mapping[str, Any], least: str, most: str) -> bool:
    return bool(schema.get(least, size) <= size <= schema.get(most, size))


def _same(value: Any, other: Any) -> bool:
    """Unlike Python's equality, `1` is not `true`."""
    return isinstance(value, bool) is isinstance(other, bool) and bool(value == other)


def _require(value: Any, met: bool) -> Any:
    if not met:
        raise ValueError("the schema is not met")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
