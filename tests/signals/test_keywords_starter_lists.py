"""The lists that are shipped: each term can be found, and none is in ordinary text."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain import KeywordList, TextSource
from app.policy.lists import load_lists
from app.signals.keywords import AhoCorasickMatcher
from tests.signals.keyword_support import counted, text_of

_RULES = Path(__file__).resolve().parents[2] / "rules"
_CORPUS = Path(__file__).parent / "corpus"
_MATCHER = AhoCorasickMatcher()

#: The text of scikit-image's `page` sample, as it is printed.
_PAGE = (
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    ">>> markers = np.zeros_like(coins)",
)


@pytest.fixture(scope="module")
def lists() -> tuple[KeywordList, ...]:
    loaded, problems = load_lists(_RULES)
    assert problems == ()
    return loaded


def _corpus(language: str) -> list[str]:
    return (_CORPUS / f"innocent_{language}.txt").read_text(encoding="utf-8").splitlines()


def _hits(lists: tuple[KeywordList, ...], *lines: str) -> list[tuple[str, str]]:
    finding = _MATCHER.match(lists, {TextSource.OCR: text_of(*lines)})
    return [(match.list, match.term) for match in counted(finding)]


def test_the_starter_set(lists: tuple[KeywordList, ...]) -> None:
    assert {keywords.name: keywords.category for keywords in lists} == {
        "contraband": "contraband",
        "gambling": "gambling",
        "scams": "scams",
        "sexual_services": "sexual",
        "violence_threats": "violence",
    }
    for keywords in lists:
        assert 30 <= len(keywords.terms) <= 80
        assert keywords.languages == ("en", "zh")
        assert TextSource.SCENE not in keywords.sources


def test_no_ordinary_sentence_is_hit(lists: tuple[KeywordList, ...]) -> None:
    sentences = _corpus("en") + _corpus("zh")
    assert len(sentences) >= 150
    assert [(sentence, hits) for sentence in sentences if (hits := _hits(lists, sentence))] == []


@pytest.mark.parametrize("width", [3, 5, 7, 11, 17])
def test_no_ordinary_text_is_hit_wherever_its_lines_break(lists: tuple[KeywordList, ...], width: int) -> None:
    for language, between in (("en", " "), ("zh", "")):
        text = between.join(_corpus(language))
        rows = [text[start : start + width] for start in range(0, len(text), width)]
        assert _hits(lists, *rows) == []


def test_a_page_about_image_segmentation_passes(lists: tuple[KeywordList, ...]) -> None:
    assert _hits(lists, *_PAGE) == []
    assert _hits(lists, " ".join(_PAGE)) == []


def test_every_term_is_found_in_a_sentence_and_in_disguise(lists: tuple[KeywordList, ...]) -> None:
    for keywords in lists:
        for term in keywords.terms:
            wide = "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in term)
            for text in (f"xx {term}, yy", term.upper(), wide, "\u200b".join(term)):
                assert (keywords.name, term) in _hits((keywords,), text), text


def test_no_term_of_a_list_is_hidden_by_another_of_the_same_list(lists: tuple[KeywordList, ...]) -> None:
    """A term that contains another would only ever be counted once: one of the two has no use."""
    for keywords in lists:
        alone = AhoCorasickMatcher()
        for term in keywords.terms:
            others = replace(
                keywords,
                terms=tuple(other for other in keywords.terms if other != term),
                digest=f"sha256:{keywords.name}:{term}",
            )
            assert counted(alone.match([others], {TextSource.OCR: text_of(term)})) == [], term
