"""Policies are parsed in C where that reads the same: values, positions and all."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.yaml_quick import read_quickly
from app.policy.yaml_text import read_strictly
from tests.house.tree import ROOT

FILES = [ROOT / "policies.yaml", *sorted((Path(__file__).parent / "golden").glob("*.yaml"))]
TEXTS = [path.read_text(encoding="utf-8") for path in FILES]
#: What means something to YAML, and what counts as something else than one character.
PIECES = [
    *":-?[]{},#&*!|>'\"%@` \n\t\\a1.é~=\x85\u2028\ufeff",
    ": ",
    "- ",
    "\n  ",
    "|\n",
    ">-\n",
    "---\n",
    "\r\n",
    "{a?: b}",
]


def quickly(text: str) -> Any:
    """Values and places, or None for what is left to the strict way."""
    made = read_quickly(text)
    if made is None:
        return None
    value, places_in = made
    whole = places_in(None)
    for section in value if isinstance(value, dict) else ():
        part = places_in(section)
        assert part.values == {
            path: span for path, span in whole.values.items() if path[:1] == path or section in path[:1]
        }
        assert part.keys == {path: span for path, span in whole.keys.items() if path[:1] == path or section in path[:1]}
    return repr(value), whole


def strictly(text: str) -> Any:
    """Values and places, or None for what is wrong, or refused."""
    try:
        value, places, refused = read_strictly(text)
    except yaml.YAMLError:
        return None
    return None if refused or not places.values else (repr(value), places)


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in FILES])
def test_a_policy_reads_the_same(text: str) -> None:
    quick = quickly(text)
    assert quick is None or quick == strictly(text)


def test_most_policies_are_read_the_quick_way() -> None:
    sound = [text for text in TEXTS if strictly(text) is not None]
    assert sum(quickly(text) is not None for text in sound) > 0.8 * len(sound)
    assert quickly(TEXTS[0]) is not None


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    start = draw(st.integers(0, max(0, len(text) - 200)))
    text = text[start : start + 200]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 2)) :]
    return text


@settings(max_examples=400, deadline=None, derandomize=True)
@given(spoiled())
def test_what_the_quick_way_takes_reads_the_same(text: str) -> None:
    quick = quickly(text)
    assert quick is None or quick == strictly(text)


@pytest.mark.parametrize(
    "text",
    [
        "{a?: b}",
        "a:\tb",
        "\ufeffa: b",
        "{a: }",
        "a: |# no comment\n  b",
        "a: *b",
        "a: &b c",
        "a: !!str b",
        "a: ! b",
        "a: [",
        "a: 1\na: 2",
        "? [a]\n: b",
        "",
        "a\n---\nb",
        '"\\ud800"',
        "[" * 32 + "]" * 32,
    ],
)
def test_what_only_the_strict_way_reads_as_it_should_is_left_to_it(text: str) -> None:
    assert quickly(text) is None
