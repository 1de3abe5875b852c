"""Whole numbers beside decimal ones.

CEL refuses `probes.violence.p > 1`, because 1 is a whole number. A literal, or a threshold that was written without a
point, means the same number either way, so it is made decimal where the other side is; a count is never converted
unasked.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.policy.cel_syntax import Call, Const, Items, Name, Node
from app.policy.vocabulary import Kind, Vocabulary

COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})
_LITERAL = re.compile(r"-?\s*(?:0[xX][0-9a-fA-F]+|[0-9]+)")


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters [start, end) of the condition become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """The condition as CEL gets it. `original` gives an offset in it back as one in the condition as written."""

    text: str
    edits: tuple[Edit, ...]

    def original(self, offset: int) -> int:
        shift = 0
        for edit in self.edits:
            begin = edit.start + shift
            if offset < begin:
                break
            if offset < begin + len(edit.text):
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift


def promote(text: str, tree: Node, vocabulary: Vocabulary) -> Promoted:
    promoter = _Promoter(text, vocabulary)
    promoter.kind(tree)
    edits = tuple(sorted(promoter.edits.values(), key=lambda edit: edit.start))
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return Promoted("".join([*parts, text[at:]]), edits)


class _Promoter:
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._vocabulary = vocabulary
        self.edits: dict[int, Edit] = {}

    def kind(self, node: Node) -> Kind | None:
        """The node's type, None where CEL will refuse it; notes the edits on the way."""
        match node:
            case Const(value=value):
                return _const_kind(value)
            case Name(name=name):
                return self._vocabulary.kinds.get(name)
            case Items(items=items):
                return self._agree(items)
            case Call():
                return self._call(node)

    def _call(self, node: Call) -> Kind | None:
        if node.function in COMPARISONS:
            self._agree(node.args)
            return Kind.BOOL
        if node.function in ARITHMETIC or node.function == "-_":
            return self._agree(node.args)
        if node.function == "_?_:_":
            self.kind(node.args[0])
            return self._agree(node.args[1:])
        if node.function == "@in":
            self._agree((node.args[0], *(node.args[1].items if isinstance(node.args[1], Items) else ())))
            return Kind.BOOL
        for arg in node.args:
            self.kind(arg)
        return {"size": Kind.INT, "double": Kind.DOUBLE}.get(node.function, Kind.BOOL)

    def _agree(self, nodes: Sequence[Node]) -> Kind | None:
        kinds = [self.kind(node) for node in nodes]
        if Kind.DOUBLE in kinds:
            for node, kind in zip(nodes, kinds, strict=True):
                if kind is Kind.INT and self._constant(node):
                    for edit in self._to_decimal(node):
                        self.edits[edit.start] = edit
            return Kind.DOUBLE
        return kinds[0] if kinds else None

    def _constant(self, node: Node) -> bool:
        match node:
            case Const():
                return True
            case Name(name=name):
                return name in self._vocabulary.thresholds
            case Call(function="_+_" | "_-_" | "_*_" | "-_", args=args):
                return all(self._constant(arg) for arg in args)
            case Items(items=items):
                return all(self._constant(item) for item in items)
            case _:
                return False

    def _to_decimal(self, node: Node) -> Iterator[Edit]:
        match node:
            case Const(value=value, at=at):
                literal = _LITERAL.match(self._text, at)
                if literal and isinstance(value, int):
                    yield Edit(at, literal.end(), f"{float(value):.1f}")
            case Name(name=name, at=at):
                written = re.compile(r"\s*\.\s*".join(map(re.escape, name.split(".")))).match(self._text, at)
                if written:
                    yield Edit(at, written.end(), f"double({name})")
            case Call(args=children) | Items(items=children):
                for child in children:
                    yield from self._to_decimal(child)


def _const_kind(value: object) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.INT
    return Kind.DOUBLE if isinstance(value, float) else Kind.STRING
