"""Policies are parsed in C where that reads the same: values, positions and all."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.yaml_text import _Builder, _QuickLoader, _StrictLoader
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


def read(loader: Any, text: str) -> Any:
    """Values and positions, or None for what this loader does not take."""
    try:
        made = loader(text)
        node = made.get_single_node()
    except yaml.YAMLError:
        return None
    builder = _Builder()
    value = builder.build(node) if node is not None else None
    return None if made.refused else (value, builder.values, builder.keys, builder.refused)


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in FILES])
def test_a_policy_reads_the_same(text: str) -> None:
    quick = read(_QuickLoader, text)
    assert quick is None or quick == read(_StrictLoader, text)


def test_most_policies_are_read_the_quick_way() -> None:
    sound = [text for text in TEXTS if read(_StrictLoader, text) is not None]
    assert sum(read(_QuickLoader, text) is not None for text in sound) > 0.8 * len(sound)
    assert read(_QuickLoader, TEXTS[0]) is not None


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
    quick = read(_QuickLoader, text)
    assert quick is None or quick == read(_StrictLoader, text)


@pytest.mark.parametrize(
    "text",
    ["{a?: b}", "a:\tb", "\ufeffa: b", "{a: }", "a: |# no comment\n  b", "a: *b", "a: &b c", "a: !!str b", "a: ["],
)
def test_what_only_the_strict_way_reads_as_it_should_is_left_to_it(text: str) -> None:
    assert read(_QuickLoader, text) is None
