import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import Truth
from app.policy.cel_messages import Complaint
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Compiler, ConditionInvalid
from app.policy.promotion import promote
from app.policy.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of(probes=["a"], scores=["s"], lists=["x"], thresholds={"one": 1, "half": 0.5, "zero": 0})
COMPILER = Compiler(VOCABULARY)


def run(text: str, **values: Scalar) -> Truth:
    named = {name.replace("__", "."): value for name, value in values.items()}
    every = {**VOCABULARY.thresholds, **named}
    return COMPILER.compile(text).run(every, lambda: COMPILER.activation(every))


@pytest.mark.parametrize(
    ("written", "promoted"),
    [
        ("probes.a.p > 1", "probes.a.p > 1.0"),
        ("1 < probes.a.p && keywords.x.count > 1", "1.0 < probes.a.p && keywords.x.count > 1"),
        ("probes.a.p > thresholds.one", "probes.a.p > double(thresholds.one)"),
        ("keywords.x.count > thresholds.one", "keywords.x.count > thresholds.one"),
        ("2 * probes.a.p + 1 > -1", "2.0 * probes.a.p + 1.0 > -1.0"),
        ("probes.a.p in [0, 0x1, 0.5]", "probes.a.p in [0.0, 1.0, 0.5]"),
        ("(image.transparent ? 1 : probes.a.p) > 0", "(image.transparent ? 1.0 : probes.a.p) > 0.0"),
        ("probes . a . p > thresholds . one", "probes . a . p > double(thresholds.one)"),
        ('context.surface == "名 1" && probes.a.p > 1', 'context.surface == "名 1" && probes.a.p > 1.0'),
        ("probes.a.p > 1 - (2 * 3)", "probes.a.p > 1.0 - (2.0 * 3.0)"),
    ],
)
def test_whole_numbers_beside_decimal_ones(written: str, promoted: str) -> None:
    assert promote(written, COMPILER.compile(written).tree, VOCABULARY).text == promoted


def test_offsets_come_back_through_promotion() -> None:
    text = "1 < probes.a.p && probes.a.p > thresholds.one && image.width < 3"
    promoted = promote(text, COMPILER.compile(text).tree, VOCABULARY)
    for word in ("<", "&&", ">", "image.width"):
        assert promoted.original(promoted.text.index(word)) == text.index(word)
    assert promoted.original(promoted.text.index("double(")) == text.index("thresholds.one")


@pytest.mark.parametrize(
    "text",
    [
        "keywords.x.count > 0.5",
        "keywords.x.count > thresholds.half",
        "probes.a.p + keywords.x.count > 1",
        "context.surface == 1",
        "!image.width",
        "keywords.x.count",
        "probes.a.p == 'x'",
        "dyn(probes.a.p) == 'x'",
        "type(1) == int",
        "timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')",
        "[1, 2].exists(x, x > 1)",
        "has(image.width)",
        "context.surface == null",
        "{'a': 1}.a == 1",
        "[1][0] == 1",
        "1u < 2u",
        "context.surface == b'x'",
        "image.width / 0 > 1",
        "probes.a.p / probes.a.p > 1.0",
        "image.width % thresholds.zero == 1",
        "1 / (1 - 1) > 1",
        "image.width > 1e10",
        "image.width > 9999999999",
        "context.surface.matches(context.surface)",
        "context.surface.matches('[')",
        "((((((((((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))))))))))",
        "!" * 1999 + "true" + " ",
        "1 < 2 < 3",
        "",
        "  ",
        "//",
        "true " + "x" * 2000,
        " * ".join(["probes.a.p"] * 18) + " > 0.5",
        ".image.width > 1",
        "image.widht > 1",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConditionInvalid) as refused:
        COMPILER.compile(text)
    assert all(0 <= complaint.at <= len(text) for complaint in refused.value.complaints)


def test_all_unknown_names_are_told_at_once() -> None:
    with pytest.raises(ConditionInvalid) as refused:
        COMPILER.compile("image.widht > 1 && imag.height > 1")
    assert [complaint.at for complaint in refused.value.complaints] == [0, 19]


def test_a_missing_value_is_unknown_unless_the_rest_decides() -> None:
    assert run("probes.a.p > 0.5") is Truth.UNKNOWN
    assert run("!(probes.a.p > 0.5)") is Truth.UNKNOWN
    assert run("probes.a.p > 0.5 || image.width > 1", image__width=2) is Truth.TRUE
    assert run("probes.a.p > 0.5 && image.width > 1", image__width=1) is Truth.FALSE
    assert run("probes.a.p > 0.5 || image.width > 1", image__width=1) is Truth.UNKNOWN
    assert run("probes.a.p == probes.a.p") is Truth.UNKNOWN


def test_overflow_is_unknown() -> None:
    text = " * ".join(["image.width"] * 10) + " < 0"
    assert run(text, image__width=10**9) is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('context.surface in ["ads", "feed"]', {"context__surface": "ads"}),
        ('context.surface.startsWith("名")', {"context__surface": "名片"}),
        ('context.surface.matches("^a+$") && size(context.surface) == 2', {"context__surface": "aa"}),
        ("double(keywords.x.count) > 0.5", {"keywords__x__count": 1}),
        ("image.width / 2 == 3 && image.width % 2 == 1", {"image__width": 7}),
        ("probes.a.p / 2 > 0.4", {"probes__a__p": 0.9}),
        ("image.transparent", {"image__transparent": True}),
    ],
)
def test_what_conditions_can_say(text: str, values: dict[str, Scalar]) -> None:
    assert run(text, **values) is Truth.TRUE


def complaints(text: str) -> tuple[Complaint, ...] | None:
    """None when the condition is sound."""
    try:
        COMPILER.compile(text)
    except ConditionInvalid as refused:
        return refused.complaints
    return None


@given(st.text(max_size=60))
@example("'" * 5)
@example("\\")
@example("a\x00b")
@example("{" * 60)
def test_any_text_is_compiled_or_complained_about(text: str) -> None:
    assert complaints(text) != ()


WORDS = ["image.width", "probes.a.p", "thresholds.one", "&&", "||", "!", "(", ")", ">", "==", "1", "0.5", "'x'", "in"]
WORDS += ["[", "]", ",", "?", ":", "+", "-", "*", "/", "size", "matches", ".", "{", "}", "\n"]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_any_pile_of_words_is_compiled_or_complained_about(text: str) -> None:
    found = complaints(text)
    assert found is None or all(0 <= one.at <= len(text) and one.message for one in found)
    assert found != ()
