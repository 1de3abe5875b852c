"""YAML parsed in C, where that reads the same as the strict way does (`app.policy.yaml_text`).

Values are made while the text is parsed. Where each of them stands is worked out of the parser's events when somebody
asks, and of a sound policy hardly anybody does.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamStartEvent,
)

from app.policy.source import Path, Places, Span
from app.policy.yaml_values import MAX_DEPTH, UNSTORABLE, plain_value

#: Tabs, byte order marks, and a comment that touches the sign of a block of text.
_READ_STRICTLY = re.compile("[\\t\ufeff]|[|>][-+0-9]*#")

#: The next of PyYAML's events. The parser's raises YAMLError.
Take = Callable[[], Any]


class LeftToOthers(yaml.YAMLError):
    """What only the strict way reads as it should: what is wrong, what is refused, and the few places where libyaml is
    more lenient."""


def read_quickly(text: str) -> tuple[Any, Callable[[str | None], Places]] | None:
    """The value of a document, and `Source.places_in`. None for what is left to the strict way."""
    if _READ_STRICTLY.search(text):
        return None
    events: list[Event] = []
    try:
        value = _document(CParser(text).get_event, events)
    except yaml.YAMLError:
        return None

    @cache
    def places_in(section: str | None) -> Places:
        found, take = Places({}, {}), iter(events).__next__
        _place(take(), take, (), found, section)
        return found

    return value, places_in


def _document(next_event: Take, events: list[Event]) -> Any:
    """Of the one document; `events` gets those of its node."""

    def take() -> Any:
        event = next_event()
        events.append(event)
        return event

    for kind in (StreamStartEvent, DocumentStartEvent):
        if not isinstance(next_event(), kind):
            raise LeftToOthers("no document")
    value = _value(take(), take, in_flow=False, depth=1)
    if not isinstance(next_event(), DocumentEndEvent) or isinstance(next_event(), DocumentStartEvent):
        raise LeftToOthers("several documents")
    return value


def _value(event: Event, take: Take, *, in_flow: bool, depth: int) -> Any:
    if isinstance(event, ScalarEvent):
        text = _text(event, in_flow=in_flow)
        return text if event.style else plain_value(text)
    if not isinstance(event, MappingStartEvent | SequenceStartEvent) or depth == MAX_DEPTH:
        raise LeftToOthers("an alias, or too deep")
    _without_properties(event)
    flow = bool(event.flow_style)
    if isinstance(event, SequenceStartEvent):
        items = []
        while not isinstance(inner := take(), CollectionEndEvent):
            items.append(_value(inner, take, in_flow=flow, depth=depth + 1))
        return items
    built: dict[str, Any] = {}
    while not isinstance(inner := take(), CollectionEndEvent):
        if not isinstance(inner, ScalarEvent) or (key := _text(inner, in_flow=flow)) in built:
            raise LeftToOthers("a key that is no word, or is given twice")
        built[key] = _value(take(), take, in_flow=flow, depth=depth + 1)
    return built


def _text(event: ScalarEvent, *, in_flow: bool) -> str:
    _without_properties(event)
    text: str = event.value
    if event.style == '"' and UNSTORABLE.search(text):
        raise LeftToOthers("what cannot be stored")
    if in_flow and not event.style and (not text or "?" in text):
        raise LeftToOthers("libyaml takes question marks within brackets, and sees nothing elsewhere")
    return text


def _without_properties(event: Any) -> None:
    if event.anchor is not None or event.tag is not None:
        raise LeftToOthers("an anchor or a tag")


def _place(event: Any, take: Take, path: Path, places: Places, section: str | None) -> None:
    """Of a node, and of all that is in it; of other sections than the one that is asked for, only where they are."""
    last = event
    if section is not None and path and path[0] != section:
        last = _passed_over(event, take)
    elif isinstance(event, SequenceStartEvent):
        at = 0
        while not isinstance(last := take(), CollectionEndEvent):
            _place(last, take, (*path, at), places, section)
            at += 1
    elif isinstance(event, MappingStartEvent):
        while not isinstance(last := take(), CollectionEndEvent):
            inner = (*path, last.value)
            places.keys[inner] = Span.of(last, last)
            _place(take(), take, inner, places, section)
    places.values[path] = Span.of(event, last)


def _passed_over(event: Event, take: Take) -> Event:
    """The last of a node's events."""
    depth = 0
    while True:
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if not depth:
            return event
        event = take()
