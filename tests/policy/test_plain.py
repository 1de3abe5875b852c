"""Plain conditions are read without the CEL library, and always as the library reads them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.conditions import Compiler, Condition, ConditionInvalid
from app.policy.plain import PlainReader
from app.policy.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of(
    probes=["a", "b"],
    scores=["goods"],
    lists=["words", "in"],
    thresholds={"high": 0.9, "three": 3},
    text_categories=["x"],
)
PLAIN = PlainReader(VOCABULARY)


class _Nothing(PlainReader):
    def read(self, text: str) -> None:
        return None


def by_library(text: str) -> Condition | None:
    compiler = Compiler(VOCABULARY)
    compiler._plain = _Nothing(VOCABULARY)
    try:
        return compiler.compile(text)
    except ConditionInvalid:
        return None


NAMES = st.sampled_from(
    [
        *VOCABULARY.kinds,
        *("probes.a", "probes.a.p.q", "probes.c.p", "keywords.in.count", "a.b", "probes. a.p", "thresholds.high "),
    ]
)
NUMBERS = (
    st.integers(-5, 2_000_000_000).map(str)
    | st.floats(0, 2, allow_nan=False).map(repr)
    | st.decimals(0, 10, places=15).map(str)
    | st.sampled_from(["00", "01", "1.", ".5", "1e3", "0x1F", "1u", "1.5.5", "1000000000", "1000000001", "-0.0"])
)
TEXTS = st.sampled_from(["'a'", '"a"', "''", "'''a'''", "'a\"b'", "'\\n'", "r'a'", "b'a'", "'é'", "'a' 'b'", "'a'+'b'"])
OPERATORS = st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "=", "=>", "in", "&&", "+"])
BLANKS = st.sampled_from(["", " ", "  ", "\t", "\n"])
COMPARISONS = st.builds(lambda *parts: "".join(parts), NAMES, BLANKS, OPERATORS, BLANKS, NAMES | NUMBERS | TEXTS)
#: Mostly sound, and mostly plain.
LIKELY = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from([*VOCABULARY.kinds]),
    st.sampled_from(["", " "]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.sampled_from(["", " "]),
    st.sampled_from([*VOCABULARY.kinds]) | NUMBERS | TEXTS,
)
CONDITIONS = (
    LIKELY
    | st.builds("{}{}{}".format, LIKELY, st.sampled_from(["&&", " || "]), LIKELY)
    | COMPARISONS
    | st.builds(
        lambda *parts: "".join(parts), COMPARISONS, BLANKS, st.sampled_from(["&&", "||", "&", ";"]), BLANKS, COMPARISONS
    )
)


@settings(max_examples=1500, deadline=None)
@given(CONDITIONS)
def test_what_is_plain_is_sound_and_reads_as_the_library_reads_it(text: str) -> None:
    tree = PLAIN.read(text)
    if tree is None:
        return
    expected = by_library(text)
    assert expected is not None
    assert (repr(tree), expected.simple is None) == (repr(expected.tree), False)
    assert Compiler(VOCABULARY).compile(text).names == expected.names


@pytest.mark.parametrize(
    "text",
    [
        "probes.a.p >= thresholds.high",
        "probes.a.p > 1",
        "keywords.words.count>0",
        "thresholds.three < probes.b.mass",
        "keywords.words.count > 0 && context.surface == 'avatar'",
        'text.score.x > 0.25 || image.format != "gif"',
    ],
)
def test_what_most_policies_are_made_of_is_plain(text: str) -> None:
    assert PLAIN.read(text) is not None
    assert Compiler(VOCABULARY).compile(text).checked() == text


@pytest.mark.parametrize(
    "text",
    [
        "keywords.words.count > 0.5",  # a count is never converted unasked
        "keywords.in.count > 0",  # CEL's own word
        "probes.a.p > 2000000000",
        "context.surface < 'a'",
        "probes.a.p > 0.5 && probes.b.p > 0.5 && scores.goods > 0.5",  # the library balances these
        "probes.c.p > 0.5",
        "",
    ],
)
def test_what_needs_a_closer_look_is_left_to_the_library(text: str) -> None:
    assert PLAIN.read(text) is None


@pytest.mark.parametrize("text", [f"context.surface == '{'a' * 2000}'", f"probes.a.p{' ' * 2000}> 0.5"])
def test_what_is_too_long_is_refused_however_plain_it_is(text: str) -> None:
    with pytest.raises(ConditionInvalid, match="at most 2000 characters"):
        Compiler(VOCABULARY).compile(text)
