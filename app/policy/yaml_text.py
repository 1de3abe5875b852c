"""YAML, read strictly: no surprises in values, no two ways to say a thing, and a position for everything.

Words of YAML 1.1 stay what they look like: `NO` is text, `12:30` is text, `2026-11-01` is text.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver as Resolver
from yaml.scanner import Scanner

from app.errors import PolicyProblem
from app.policy.source import Path, Places, Source, Span
from app.policy.yaml_messages import yaml_problem
from app.policy.yaml_quick import read_quickly
from app.policy.yaml_values import CORE_TAGS, MAX_DEPTH, UNSTORABLE, tagged_value

#: A policy of 300 rules is about 100 KB.
MAX_BYTES = 512 * 1024
#: As many as are told of a whole policy, and one more, which says that there are more.
_MAX_REFUSED = 101


class _Composer(Composer, Resolver):
    """Composes nodes only; values are built in `_Builder`. Aliases become empty scalars and are named as problems."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape
    #: The parser's.
    check_event: Callable[..., bool]
    peek_event: Callable[[], Any]
    get_event: Callable[[], Any]

    def __init__(self) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self.refused: list[tuple[int, str]] = []
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(AliasEvent):
            event = self.get_event()
            self.refused.append((event.start_mark.index, "aliases (`*name`) are not allowed: write the value out"))
            return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        event = self.peek_event()
        if event.anchor is not None:
            self.refused.append((event.start_mark.index, "anchors (`&name`) are not allowed: write the value out"))
            event.anchor = None
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self.refused.append(
                (event.start_mark.index, f"tags (`{tag}`) are not allowed: put a text that begins with `!` in quotes")
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, (_pattern, _first) in CORE_TAGS.items():
    _Composer.add_implicit_resolver(_tag, _pattern, list(_first))


class _StrictLoader(Reader, Scanner, Parser, _Composer):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        _Composer.__init__(self)


class _Builder:
    """Plain values out of nodes, with the span of each value and key."""

    def __init__(self) -> None:
        self.places = Places({}, {})
        self.refused: list[tuple[int, str]] = []

    def build(self, node: Node, path: Path = ()) -> Any:
        self.places.values[path] = Span.of(node, node)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        self._refuse_unstorable(node)
        return tagged_value(node.tag, str(node.value))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            start = key_node.start_mark.index
            if not isinstance(key_node, ScalarNode):
                self.refused.append((start, "a key must be a word"))
                continue
            self._refuse_unstorable(key_node)
            key = str(key_node.value)
            if key in built:
                self.refused.append((start, f"`{key}` is given twice, first in line {lines[key]}"))
                continue
            lines[key] = key_node.start_mark.line + 1
            self.places.keys[(*path, key)] = Span.of(key_node, key_node)
            built[key] = self.build(value_node, (*path, key))
        return built

    def _refuse_unstorable(self, node: Node) -> None:
        """Escapes such as `\\ud800` make what no file can hold, and decisions that quoted it could not be kept. It is
        replaced, for the problems that quote it."""
        text, found = UNSTORABLE.subn("\ufffd", str(node.value))
        if found:
            message = "an escape makes a NUL or half a surrogate pair: write the character itself"
            self.refused.append((node.start_mark.index, message))
            node.value = text


def read_yaml(data: bytes, file: str) -> tuple[Any, Source, list[PolicyProblem]]:
    """The document's value, its source with positions, and what is wrong with it as YAML.

    Where the text cannot be read as YAML at all, the value is None and the only problem says where reading stopped.
    """
    if len(data) > MAX_BYTES:
        source = Source(file, "")
        return None, source, [source.problem_at(0, f"the file is larger than {MAX_BYTES // 1024} KiB")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        source = Source(file, data[: error.start].decode("utf-8-sig"))
        hint = "save it as UTF-8; it may be in UTF-16, GBK, Big5 or Latin-1"
        return None, source, [source.problem_at(error.start, "the file is not UTF-8 from here on", hint=hint)]
    if (quick := read_quickly(text)) is not None:
        value, places_in = quick
        return value, Source(file, text, places_in), []
    return _read_strictly(text, file)


def _read_strictly(text: str, file: str) -> tuple[Any, Source, list[PolicyProblem]]:
    bare = Source(file, text)
    try:
        value, places, refused = read_strictly(text)
    except yaml.MarkedYAMLError as error:
        return None, bare, [yaml_problem(bare, error)]
    except yaml.reader.ReaderError as error:
        return None, bare, [bare.problem_at(error.position, "a character that YAML does not allow")]
    if not places.values:
        return None, bare, [bare.problem_at(0, "the file is empty")]
    source = Source(file, text, lambda _: places)
    return value, source, [source.problem_at(at, message) for at, message in sorted(refused)[:_MAX_REFUSED]]


def read_strictly(text: str) -> tuple[Any, Places, list[tuple[int, str]]]:
    """A document's value, its places, of which an empty one has none, and what is refused of it and where. Raises
    YAMLError."""
    loader, builder = _StrictLoader(text), _Builder()
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    value = None if node is None else builder.build(node)
    return value, builder.places, loader.refused + builder.refused
