"""Stored findings read the short way say what the long way says, and nothing is read that the long way refuses."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from app.domain import (
    Code,
    CodesFinding,
    Findings,
    KeywordFinding,
    Severity,
    Status,
    TextLine,
    TextSource,
    UploadContext,
)
from app.domain.value import Value
from app.policy.asked import never_asked
from app.policy.evaluate import evaluate, see
from app.policy.ruleset import Ruleset
from app.policy.stored import _twin, read_context, read_findings
from tests.policy.build import findings, match, reading
from tests.policy.test_replay import policies, uploads

BOX = ((0.5, 0.0), (9.0, 0.0), (9.0, 1e-7), (0.5, 9.25))


def full() -> Findings:
    """Every part of it filled."""
    found = findings(text="线 a", caption="caption", matches=[match("banned"), match("sworn", TextSource.QR)])
    line = TextLine(text="线 a", confidence=0.25, box=BOX, frame=1)
    first = found.keywords.matches[0].model_copy(update={"severity": Severity.LOW, "score": 0.5, "box": BOX[:3]})
    return found.model_copy(
        update={
            "ocr": found.ocr.model_copy(update={"lines": (line,), "reason": "slow"}),
            "codes": CodesFinding(status=Status.OK, codes=(Code(kind="qr", payload="x", readable="y", box=BOX),)),
            "keywords": KeywordFinding(sources=found.keywords.sources, matches=(first,), cut=("banned",)),
            "probes": {"a": found.probes["a"].model_copy(update={"readings": (reading(0.1), reading(None, frame=1))})},
        }
    )


def shape(value: Any) -> Any:
    """What a value or its twin says, by its attributes, with the types of what it holds."""
    if isinstance(value, BaseModel):
        return {name: shape(getattr(value, name)) for name in type(value).model_fields}
    if hasattr(value, "__struct_fields__"):
        return {name: shape(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {(type(key), key): shape(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(shape(one) for one in value)
    return type(value), value


def test_every_part_reads_the_same() -> None:
    found = full()
    text = found.model_dump_json()
    read = read_findings(text)
    assert not isinstance(read, Findings)  # the short way was taken
    assert shape(read) == shape(Findings.model_validate_json(text)) == shape(found)


def test_a_context_reads_the_same() -> None:
    metadata = {"a": [1, None, {"b": 2.5}], "c": "d"}
    context = UploadContext(surface="chat", caption="c", user_id="u", external_id="e", metadata=metadata)
    read = read_context(context.model_dump_json())
    assert not isinstance(read, UploadContext)
    assert shape(read) == shape(context)
    assert shape(read_context("{}")) == shape(UploadContext())


@settings(max_examples=100, deadline=None)
@given(policies(), uploads())
def test_what_is_read_is_seen_and_judged_the_same(rules: Ruleset, upload: tuple[Findings, UploadContext]) -> None:
    found, context = upload
    short = read_findings(found.model_dump_json()), read_context(context.model_dump_json())
    assert see(rules, *short, model_digest=None) == see(rules, *upload, model_digest=None)
    assert evaluate(rules, *short, model_digest=None) == evaluate(rules, *upload, model_digest=None)
    seen = see(rules, *short, model_digest=None)
    assert never_asked(rules, short[0], seen) == never_asked(rules, found, seen)


def edits(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in a JSON value."""
    yield path, value
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from edits(one, (*path, key))


def edited(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = edited(value[path[0]], path[1:], change)
    return copy


WHOLE = json.loads(full().model_dump_json())
PLACES = [path for path, _ in edits(WHOLE)]
WRONG = st.sampled_from([None, True, "1", "ok", "", 0, 1, 2, -1, 1.0, 1.5, 9, 10**19, [], [1], {}, {"x": 1}])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), WRONG, st.booleans())
def test_what_is_not_as_it_should_be_is_left_to_the_long_way(path: tuple[Any, ...], wrong: Any, add: bool) -> None:
    def change(value: Any) -> Any:
        return {**value, "later": wrong} if add and isinstance(value, dict) else wrong

    text = json.dumps(edited(WHOLE, path, change))
    try:
        long = Findings.model_validate_json(text)
    except ValidationError:
        with pytest.raises(ValueError, match=r"."):
            read_findings(text)
    else:
        assert shape(read_findings(text)) == shape(long)


@pytest.mark.parametrize("text", ["", "{", "null", '{"schema_version": 9}', '"\\ud800"'])
def test_what_is_no_findings_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_findings(text)


def test_a_value_that_checks_more_than_its_fields_has_no_twin() -> None:
    class Even(Value):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            return number - number % 2

    with pytest.raises(TypeError, match="Even checks"):
        _twin(Even)
