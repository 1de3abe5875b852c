"""Which schemas an answer can be held to, and what is said of the others."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Question, QuestionKind
from app.engine.base import Reason
from app.engine.mistakes import mistake
from app.engine.schema import schema_grammar
from app.errors import SchemaUnsupported

REFUSED = [
    ("not json", "the schema is not JSON"),
    ('{"type": "string", "type": "integer"}', "a name stands twice"),
    ("[" * 10_000, "the schema is not JSON"),
    (json.dumps({"type": "string", "description": "x" * 20_000}), "characters; at most 16384"),
    ("[]", "$: a schema must be an object"),
    ("true", "$: a schema must be an object"),
    ("{}", "$: `type` must be one of"),
    ('{"type": "decimal"}', 'not "decimal"'),
    ('{"type": "string", "pattern": "^a+$"}', "$: `pattern` is not supported here"),
    ('{"type": "string", "format": "date"}', "$: `format` is not supported here"),
    ('{"type": "string", "maxLength": -1}', "$: `minLength` and `maxLength` must be whole numbers from 0"),
    ('{"type": "string", "minLength": 5, "maxLength": 4}', "in order"),
    ('{"type": "string", "maxLength": 100000}', "may add up to 512"),
    ('{"type": "number", "minimum": 0}', "$: `minimum` is not supported here"),
    ('{"type": "integer", "minimum": 0}', "both given"),
    ('{"type": "integer", "minimum": 0, "maximum": 5000}', "256 apart at most"),
    ('{"type": "integer", "minimum": 3, "maximum": 1}', "256 apart at most"),
    ('{"type": "array"}', "$: an array needs `items`"),
    ('{"type": "array", "items": {"type": "string"}, "uniqueItems": true}', "`uniqueItems` is not supported"),
    ('{"type": "object", "properties": {"a": {"$ref": "#"}}}', "$.a: `type` must be"),
    ('{"type": "object", "properties": {"a": {"type": "array", "items": {"type": "x"}}}}', "$.a[]: `type` must be"),
    ('{"type": "object", "properties": [], "required": []}', "`properties` must be an object"),
    ('{"type": "object", "properties": {}, "required": ["a"]}', "`required` must list names of `properties`"),
    ('{"enum": []}', "`enum` must list 1 to 256 values"),
    ('{"enum": [{"a": 1}]}', "texts, numbers, booleans and null"),
    ('{"enum": [NaN]}', "not JSON compliant"),
    ('{"enum": ["a"], "type": "integer"}', "not of its `type`"),
    (r'{"const": "\ud83d"}', "half a character"),
    ('{"anyOf": []}', "`anyOf` must list schemas"),
    ('{"anyOf": [{"type": "string"}], "type": "string"}', "`type` is not supported here"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_is_not_taken_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SchemaUnsupported) as caught:
        schema_grammar(text)

    assert said in caught.value.detail
    assert caught.value.code == "schema_unsupported"


def test_depth_and_size_are_bounded() -> None:
    deep: object = {"type": "string"}
    for _ in range(13):
        deep = {"type": "array", "items": deep, "maxItems": 1}
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(300)}}

    for schema in (deep, wide):
        with pytest.raises(SchemaUnsupported, match="too large; at most 256 parts are taken, 12 within each other"):
            schema_grammar(json.dumps(schema))


def test_what_only_tells_people_something_is_passed_over() -> None:
    plain, said = {"type": "boolean"}, {"type": "boolean", "title": "t", "description": "d", "default": True}

    assert schema_grammar(json.dumps(plain)) == schema_grammar(json.dumps(said))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "required",
                    "enum",
                    "const",
                    "anyOf",
                    "minLength",
                    "maxLength",
                    "maxItems",
                ]
            )
            | st.text(max_size=4),
            inner | st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(ANYTHING)
def test_any_json_is_taken_or_refused_in_words(schema: object) -> None:
    with contextlib.suppress(SchemaUnsupported):
        grammar = schema_grammar(json.dumps(schema))
        assert "root ::= " in grammar
        assert len(grammar) < 100_000


@pytest.mark.parametrize("kind", [QuestionKind.YES_NO, QuestionKind.CHOICE])
def test_a_schema_holds_only_what_is_generated(kind: QuestionKind) -> None:
    question = Question("q", kind, "Which?", choices=("a", "b"), json_schema='{"type": "string"}')

    assert mistake(question) is Reason.SCHEMA_UNSUPPORTED
