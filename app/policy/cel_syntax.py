"""A condition's syntax tree, out of the bytes that the CEL library serializes.

The library gives its tree only as a protobuf message (`cel.expr.ParsedExpr`, cel-spec's `syntax.proto`) and brings no
classes to read it with; the few fields needed are read off the wire here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Scalar = bool | int | float | str

#: Field numbers of syntax.proto.
_ANY_VALUE = 2
_PARSED_EXPR, _PARSED_SOURCE = 2, 3
_SOURCE_POSITIONS = 4
_EXPR_ID, _CONST, _IDENT, _SELECT, _CALL, _LIST = 2, 3, 4, 5, 6, 7
_BOOL, _INT64, _DOUBLE, _STRING = 2, 3, 5, 6
_UNSUPPORTED = {8: "a map or message literal", 9: "a macro"}
_UNSUPPORTED_CONST = {1: "`null`", 4: "an unsigned number", 7: "bytes", 8: "a duration", 9: "a timestamp"}


@dataclass(frozen=True, slots=True)
class Const:
    value: Scalar
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name. `at` is where it begins."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """`function` is CEL's name of the operator or function (`_&&_`, `_>_`, `size`); a method's object comes first in
    `args`. `at` is the operator, or a function's opening bracket."""

    function: str
    args: tuple["Node", ...]
    at: int
    method: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal."""

    items: tuple["Node", ...]
    at: int


Node = Const | Name | Call | Items


class UnsupportedSyntax(Exception):
    """CEL that conditions do not use; `at` is its offset in code points."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


def read_tree(serialized: bytes) -> Node:
    """The tree of an unchecked expression as `Expression.serialize()` gives it. Raises UnsupportedSyntax."""
    parsed = dict(_fields(_bytes(dict(_fields(serialized)), _ANY_VALUE)))
    positions = {}
    for number, entry in _fields(_bytes(parsed, _PARSED_SOURCE)):
        if number == _SOURCE_POSITIONS and isinstance(entry, bytes):
            pair = dict(_fields(entry))
            positions[pair.get(1, 0)] = _int(pair, 2)
    return _Reader(positions).read(_bytes(parsed, _PARSED_EXPR))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything under it."""
    yield node
    children = node.args if isinstance(node, Call) else node.items if isinstance(node, Items) else ()
    for child in children:
        yield from walk(child)


#: A tree of tuples, which travels between processes in a third of the time: which node it is, and its fields.
Flat = tuple[Any, ...]


def flatten(node: Node) -> Flat:
    match node:
        case Const(value=value, at=at):
            return 0, value, at
        case Name(name=name, at=at):
            return 1, name, at
        case Call(function=function, args=args, at=at, method=method):
            return 2, function, tuple([flatten(arg) for arg in args]), at, method
        case Items(items=items, at=at):
            return 3, tuple([flatten(item) for item in items]), at


def unflatten(flat: Flat) -> Node:
    match flat:
        case 2, function, args, at, method:
            return Call(function, tuple([unflatten(arg) for arg in args]), at, method)
        case 3, items, at:
            return Items(tuple([unflatten(item) for item in items]), at)
        case kind, value, at:
            return Const(value, at) if kind == 0 else Name(value, at)
    raise ValueError(f"no node: {flat!r}")


_Wire = int | float | bytes


class _Reader:
    def __init__(self, positions: dict[_Wire, int]) -> None:
        self._positions = positions

    def read(self, message: bytes) -> Node:
        fields = dict(_fields(message))
        at = self._positions.get(fields.get(_EXPR_ID, 0), 0)
        if _CONST in fields:
            return self._const(_bytes(fields, _CONST), at)
        if _IDENT in fields:
            return Name(_text(dict(_fields(_bytes(fields, _IDENT))), 1), at)
        if _SELECT in fields:
            return self._select(dict(_fields(_bytes(fields, _SELECT))), at)
        if _CALL in fields:
            return self._call(_bytes(fields, _CALL), at)
        if _LIST in fields:
            elements = [value for number, value in _fields(_bytes(fields, _LIST)) if number == 1]
            return Items(tuple(self.read(item) for item in elements if isinstance(item, bytes)), at)
        what = next((what for number, what in _UNSUPPORTED.items() if number in fields), "this")
        raise UnsupportedSyntax(what, at)

    def _const(self, message: bytes, at: int) -> Const:
        fields = dict(_fields(message))
        if _BOOL in fields:
            return Const(bool(fields[_BOOL]), at)
        if _INT64 in fields:
            raw = _int(fields, _INT64)
            return Const(raw - (1 << 64) if raw >> 63 else raw, at)
        if _DOUBLE in fields:
            return Const(float(fields[_DOUBLE]), at)
        if _STRING in fields:
            return Const(_text(fields, _STRING), at)
        what = next((what for number, what in _UNSUPPORTED_CONST.items() if number in fields), "this constant")
        raise UnsupportedSyntax(what, at)

    def _select(self, fields: dict[int, _Wire], at: int) -> Name:
        if fields.get(3):
            raise UnsupportedSyntax("`has()`", at)
        operand = self.read(_bytes(fields, 1))
        if not isinstance(operand, Name):
            raise UnsupportedSyntax("a field of something that is not a name", at)
        return Name(f"{operand.name}.{_text(fields, 2)}", operand.at)

    def _call(self, message: bytes, at: int) -> Call:
        target: list[Node] = []
        function, args = "", []
        for number, value in _fields(message):
            if not isinstance(value, bytes):
                continue
            if number == 1:
                target.append(self.read(value))
            elif number == 2:  # noqa: PLR2004 - field numbers of one message read best in place
                function = value.decode()
            else:
                args.append(self.read(value))
        return Call(function, (*target, *args), at, method=bool(target))


def _fields(message: bytes) -> Iterator[tuple[int, _Wire]]:
    """Field numbers and values in wire order (protobuf's encoding guide)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        match wire_type:
            case 0:
                value: _Wire
                value, at = _varint(message, at)
            case 1:
                value, at = struct.unpack_from("<d", message, at)[0], at + 8
            case 2:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            case _:
                raise ValueError(f"wire type {wire_type} in a serialized expression")
        yield number, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _bytes(fields: dict[int, _Wire], number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise TypeError(f"field {number} of a serialized expression is not a message")
    return value


def _text(fields: dict[int, _Wire], number: int) -> str:
    return _bytes(fields, number).decode()


def _int(fields: dict[int, _Wire], number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise TypeError(f"field {number} of a serialized expression is not a whole number")
    return value
