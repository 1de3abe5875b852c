"""What counts as a match, and what a match says."""

from dataclasses import replace

import pytest

from app.domain import KeywordFinding, Status, TextFinding, TextLine, TextSource
from app.signals.base import KeywordMatcher
from app.signals.keywords import AhoCorasickMatcher
from app.signals.normalise import NORMALISER
from tests.signals.keyword_support import FOLD_ONLY, SOURCES, find, found, keyword_list, text_of


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("fake passport", "Buy a FAKE Passport today"),
        ("fake passport", "ｆａｋｅ　ｐａｓｓｐｏｒｔ"),
        ("fake passport", "ⓕⓐⓚⓔ ⓟⓐⓢⓢⓟⓞⓡⓣ"),
        ("fake passport", "f\u200bake pass\u200dport"),
        ("fake passport", "fákè pässpörť"),
        ("fake passport", "fаkе раssроrt"),
        ("fake passport", "fake \t  passport"),
        ("ＦＡＫＥ Ｐassport", "fake passport"),
        ("Čáslav", "caslav"),
        ("假护照", "办假护照加微信"),
        ("vx", "加vx咨询"),
        ("cvv", "①cvv②"),
        ("cvv", "cvv™, 1️⃣cvv"),
        ("cvv", "_cvv_"),
        ("c++", "learn c++now"),
        ("$$$", "a$$$b"),
        ("🔫", "🔫🔫 now"),
        ("i'll kill you", "I’LL kill you"),
        ("ак-47", "AK-47"),
    ],
)
def test_found(term: str, text: str) -> None:
    assert term in found([term], text)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ass", "class assessment passport"),
        ("cunt", "Scunthorpe"),
        ("av", "I have avid fans"),
        ("vx", "vx2 and avx and vxé"),
        ("ass", "ⓒⓛⓐⓢⓢ"),
        ("ass", "clаss"),
        ("cvv", "cvv1"),
        ("微信", "微 信"),
        ("fake passport", "fakepassport"),
        ("fake", "f a k e, f.a.k.e, f4ke, faaake, f😀ake"),
        ("假护照", "假護照"),
        ("k", "㎏"),
        ("가", "각"),
    ],
)
def test_not_found_by_the_fold_view(term: str, text: str) -> None:
    assert found([term], text, views=FOLD_ONLY) == []


def test_a_match_says_what_was_found_and_where() -> None:
    box = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    ocr = TextFinding(
        status=Status.OK, lines=(TextLine(text="hello"), TextLine(text="a 😀 Fáke  Passport!", frame=3, box=box))
    )
    (match,) = AhoCorasickMatcher().match([keyword_list("fake passport")], {TextSource.OCR: ocr}).matches
    assert match.list == match.category == "contraband"
    assert match.term == "fake passport"
    assert match.matched == "Fáke  Passport"
    assert (match.source, match.line, match.span, match.frame) == (TextSource.OCR, 1, (4, 18), 3)
    assert match.box == box
    assert match.view == "fold"


def test_spans_count_code_points() -> None:
    (match,) = find(["gun"], "𝒻😀 𝐠𝐮𝐧 e\u0301").matches
    assert match.span == (3, 6)
    assert match.matched == "𝐠𝐮𝐧"


def test_a_match_inside_a_longer_one_is_dropped() -> None:
    assert found(["passport", "fake passport", "fake"], "fake passport, passport") == ["fake passport", "passport"]
    assert found(["枪支", "枪支弹药", "弹药"], "枪支弹药") == ["枪支弹药"]


def test_matches_that_overlap_otherwise_both_count() -> None:
    assert found(["a b", "b c"], "a b c") == ["a b", "b c"]


def test_a_longer_match_does_not_hide_one_of_another_list() -> None:
    lists = [keyword_list("fake passport"), keyword_list("passport", name="travel")]
    matches = AhoCorasickMatcher().match(lists, {TextSource.OCR: text_of("fake passport")}).matches
    assert [(match.list, match.term) for match in matches] == [
        ("contraband", "fake passport"),
        ("travel", "passport"),
    ]


def test_terms_that_fold_alike_are_the_first_of_them() -> None:
    assert found(["Fаke", "fake", "FAKE"], "fake") == ["Fаke"]


def test_terms_that_fold_to_nothing_match_nothing() -> None:
    assert found(["\u200b", " "], "\u200b a b") == []


def test_each_list_is_matched_over_the_sources_it_names() -> None:
    lists = [keyword_list("gun"), keyword_list("gun", name="scenic", sources=SOURCES | {TextSource.SCENE})]
    texts = {source: text_of("a gun") for source in reversed(TextSource)}
    matches = AhoCorasickMatcher().match(lists, texts).matches
    assert [(match.source, match.list) for match in matches] == [
        (TextSource.OCR, "contraband"),
        (TextSource.OCR, "scenic"),
        (TextSource.MODEL_TEXT, "contraband"),
        (TextSource.MODEL_TEXT, "scenic"),
        (TextSource.CAPTION, "contraband"),
        (TextSource.CAPTION, "scenic"),
        (TextSource.SCENE, "scenic"),
    ]


def test_every_source_that_should_have_been_read_keeps_its_status() -> None:
    texts = {
        TextSource.OCR: text_of("a gun", status=Status.TIMEOUT),
        TextSource.CAPTION: text_of(),
        TextSource.SCENE: text_of(status=Status.SKIPPED),
    }
    finding = AhoCorasickMatcher().match([keyword_list("gun")], texts)
    assert finding.sources == {
        TextSource.OCR: Status.TIMEOUT,
        TextSource.CAPTION: Status.OK,
        TextSource.SCENE: Status.SKIPPED,
    }
    assert [match.term for match in finding.matches] == ["gun"]


def test_without_lists_the_statuses_are_carried_all_the_same() -> None:
    finding = AhoCorasickMatcher().match([], {TextSource.OCR: text_of("gun", status=Status.FAILED)})
    assert finding == KeywordFinding(sources={TextSource.OCR: Status.FAILED})


def test_the_order_of_lists_and_sources_does_not_matter() -> None:
    lists = [keyword_list("gun", "a gun", name=name) for name in ("b", "a", "c")]
    texts = {source: text_of("gun and a gun", "gun") for source in TextSource}
    matcher = AhoCorasickMatcher()
    one = matcher.match(lists, texts)
    other = matcher.match(lists[::-1], dict(reversed(texts.items())))
    assert one.matches == other.matches


def test_a_digest_used_again_for_other_terms_does_not_answer_for_them() -> None:
    first, second = keyword_list("gun"), keyword_list("knife")
    second = replace(second, digest=first.digest)
    matcher = AhoCorasickMatcher()
    texts = {TextSource.OCR: text_of("gun knife")}
    assert [match.term for match in matcher.match([first], texts).matches] == ["gun"]
    assert [match.term for match in matcher.match([second], texts).matches] == ["knife"]


def test_prepared_lists_are_not_built_again_and_old_ones_are_forgotten() -> None:
    matcher = AhoCorasickMatcher()
    current = [keyword_list(f"term {number}", name=f"list_{number}") for number in range(40)]
    matcher.prepare(current)
    kept = dict(matcher._indexes)
    assert len(kept) == 40
    matcher.match(current, {TextSource.OCR: text_of("term 7")})
    assert all(matcher._indexes[digest] is index for digest, index in kept.items())
    for number in range(100):
        matcher.prepare([keyword_list(f"other {number}")])
    assert len(matcher._indexes) < 40


def test_it_is_a_keyword_matcher() -> None:
    matcher: KeywordMatcher = AhoCorasickMatcher()
    assert matcher.normaliser.startswith(f"{NORMALISER} (opencc ")
