"""The fold view: what becomes equal, and that every folded character knows where it came from."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.signals import normalise
from app.signals.homoglyphs import HOMOGLYPHS
from app.signals.normalise import fold, fold_term

TEXT = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aA bＢⓒ𝐝 \t\n\u200b\u0301\u20e3éßﬁ㎏㈠⒜½①枪支가각ЖаΑ😀🅰\u00ad\u3164\u2800\x00"),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Fake PASSPORT", "fake passport"),
        ("ｆａｋｅ　ｐａｓｓｐｏｒｔ", "fake passport"),
        ("𝐟𝐚𝐤𝐞 𝓅𝒶𝓈𝓈𝓅ℴ𝓇𝓉", "fake passport"),
        ("ⓕⓐⓚⓔ ⓅⒶⓈⓈⓅⓄⓇⓉ", "fake passport"),
        ("🅵🅰🅺🅴 🅟🅐🅢🅢🅟🅞🅡🅣", "fake passport"),
        ("⒡⒜⒦⒠", "fake"),
        ("ꜰᴀᴋᴇ ᴘᴀssᴘᴏʀᴛ", "fake passport"),
        ("fаkе рassроrt", "fake passport"),
        ("FАKЕ РАSSРОRТ", "fake passport"),
        ("ΡΑSSΡΟRΤ", "passport"),
        ("f\u200ba\u200dk\u2060e\ufeff", "fake"),
        ("fa\u00adke", "fake"),
        ("f\x00ake", "fake"),
        ("f́ák̂ë́", "fake"),
        ("fåkè", "fake"),
        ("fake \t\n  passport", "fake passport"),
        ("fake\u2800passport", "fake passport"),
        ("I’ll — “quote”", 'i\'ll - "quote"'),
        ("straße ﬁne ŒUVRE", "strasse fine oeuvre"),
        ("①❷３٤", "1234"),
        ("㈠ ⽊ 枪\ufe0f支", "一 木 枪支"),
    ],
)
def test_writings_that_read_alike_fold_alike(written: str, folded: str) -> None:
    assert fold(written).text == folded


@pytest.mark.parametrize(("left", "right"), [("枪", "槍"), ("v", "w"), ("0", "o"), ("fakepassport", "fake passport")])
def test_what_the_fold_view_keeps_apart(left: str, right: str) -> None:
    assert fold(left).text != fold(right).text


@given(TEXT)
@settings(max_examples=300)
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold(text).text
    assert fold(once).text == once


@given(TEXT)
@settings(max_examples=300)
def test_the_quick_way_for_terms_is_the_same_folding(text: str) -> None:
    assert fold_term(text) == fold(text).text.strip(" ")
    ascii_text = text.encode("ascii", "ignore").decode()
    assert fold_term(ascii_text) == fold(ascii_text).text.strip(" ")


@given(TEXT)
@settings(max_examples=300)
def test_every_folded_character_comes_from_where_it_says(text: str) -> None:
    view = fold(text)
    assert len(view.text) == len(view.starts) == len(view.ends)
    for start, end in zip(view.starts, view.ends, strict=True):
        assert 0 <= start < end <= len(text)
    assert list(view.starts) == sorted(view.starts)
    for character, start, end in zip(view.text, view.starts, view.ends, strict=True):
        assert character in fold(text[start:end]).text


@given(TEXT, st.data())
@settings(max_examples=300)
def test_an_aligned_span_folds_to_its_part_of_the_view(text: str, data: st.DataObject) -> None:
    view = fold(text)
    if not view.text:
        return
    start = data.draw(st.integers(0, len(view.text) - 1))
    end = data.draw(st.integers(start + 1, len(view.text)))
    first, last = view.span(start, end)
    folded = fold(text[first:last]).text
    if view.aligned(start, end):
        assert folded == view.text[start:end]
    else:
        assert len(folded) > end - start


def test_common_chinese_characters_fold_to_themselves() -> None:
    """The quick way for terms rests on it."""
    block = "".join(map(chr, range(0x4E00, 0xA000)))
    assert fold(block).text == block == fold_term(block)


def test_an_expanded_character_is_not_cut() -> None:
    view = fold("㎏")
    assert view.text == "kg"
    assert view.aligned(0, 2)
    assert not view.aligned(0, 1)
    assert not view.aligned(1, 2)


def test_a_combining_accent_stays_with_its_letter() -> None:
    view = fold("cafe\u0301s")
    assert view.span(0, 4) == (0, 5)


def test_symbols_around_letters_are_marked() -> None:
    assert fold("aⓑ①1\ufe0f\u20e3™").enclosed == {1, 2, 3, 4, 5}


def test_folding_does_not_depend_on_case() -> None:
    """Or a term in one case would miss text in the other. (Greek's iota below the line, an accent when small and a
    letter when capital, is the one exception.)"""
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        if unicodedata.category(character) not in {"Lu", "Lt", "Ll"}:
            continue
        if "\u0345" in unicodedata.normalize("NFKD", character):
            continue
        assert fold(character.upper()).text == fold(character).text, hex(code_point)


def test_look_alikes_are_keyed_as_they_are_looked_up() -> None:
    for character, plain in HOMOGLYPHS.items():
        assert character.casefold() == character
        assert unicodedata.normalize("NFKD", character) == character
        assert fold(plain).text == plain


def test_hostile_text_does_not_grow_the_cache_without_bound() -> None:
    for code_point in range(0x20000, 0x20000 + 20_000):
        fold(chr(code_point))
    information = normalise._fold_character.cache_info()
    assert information.maxsize is not None
    assert information.currsize <= information.maxsize
