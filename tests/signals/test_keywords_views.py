"""Terms in disguise: what is found, by which view, with which score, and what ordinary text is not mistaken for one."""

from dataclasses import replace
from datetime import date

import pytest

from app.domain import COUNTED_SCORE, VIEWS, KeywordMatch, Severity, Status, TermKind, TermOptions, TextSource
from app.signals import keywords as matching
from app.signals.keywords import AhoCorasickMatcher
from benchmarks.text.innocent import sentences
from benchmarks.text.recall import recall, views_finder
from benchmarks.text.terms import shipped, short_words
from tests.signals.keyword_support import counted, find, found, keyword_list, text_of

#: What the project promises, of each disguise; backwards and split characters may miss more.
_LEAST = {"reversed": 0.9, "split characters": 0.9}


def test_every_disguise_of_every_shipped_term_is_found() -> None:
    short = {row.evasion: (row.found[0], row.tried) for row in recall(shipped(), rounds=1)}
    assert len(short) >= 20
    for evasion, (hits, tried) in short.items():
        assert hits >= _LEAST.get(evasion, 0.99) * tried, evasion


def test_ordinary_sentences_are_left_alone() -> None:
    find_in = views_finder(AhoCorasickMatcher(), (*shipped(), short_words()))
    innocent = sentences(3_000)
    assert len([sentence for sentence in innocent if find_in(sentence)]) <= len(innocent) // 1_000


@pytest.mark.parametrize(
    ("term", "text", "matched", "view"),
    [
        ("假护照", "办假護照吗", "假護照", "simplified"),
        ("fake passport", "a f.a.k.e p.a.s.s.p.o.r.t!", "f.a.k.e p.a.s.s.p.o.r.t", "separators"),
        ("fake passport", "#fakepassport", "fakepassport", "separators"),
        ("fake passport", "fake-passport", "fake-passport", "separators"),
        ("fake passport", "f4k3 pa$$port", "f4k3 pa$$port", "leet"),
        ("kill you", "k!ll y0u", "k!ll y0u", "leet"),
        ("fake passport", "faaake passsport", "faaake passsport", "repeats"),
        ("假护照", "假假护护照", "假假护护照", "repeats"),
        ("fake passport", "f-4-k-3 p.4.s.s.p.o.r.t", "f-4-k-3 p.4.s.s.p.o.r.t", "separators+leet"),
        ("微信", "加weixin", "weixin", "pinyin"),
        ("微信", "微xin联系", "微xin", "pinyin"),
        ("假护照", "jiahuzao", "jiahuzao", "fuzzy_pinyin"),
        ("出售枪支", "出售木仓支", "出售木仓支", "split"),
        ("假护照", "人叚手户照", "人叚手户照", "split"),
        ("fake passport", "tropssap ekaf", "tropssap ekaf", "reversed"),
        ("假护照", "照护假", "照护假", "reversed"),
        ("枪支", "枪*支", "枪*支", "separators"),
    ],
)
def test_what_a_view_finds(term: str, text: str, matched: str, view: str) -> None:
    (match,) = counted(find([term], text))
    assert (match.term, match.matched, match.view) == (term, matched, view)
    start, end = match.span
    assert text[start:end] == matched
    assert COUNTED_SCORE <= match.score <= 1.0


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("加微信", "他加 微信群是为了通知"),
        ("微信", "这位老师威信很高"),
        ("枪支", "水枪 支持退货"),
        ("ass", "the class, c l a s s, a55, as"),
        ("god", "good"),
        ("good", "god"),
        ("他妈的", "他妈妈的包"),
        ("therapist", "the rapist was caught"),
        ("live", "evil"),
        ("vx", "v x"),
        ("kill", "kiil"),
        ("1001", "10011"),
        ("100 000", "1000 000"),
        ("枪支", "支枪"),
        ("sex", "unisex, Essex"),
    ],
)
def test_what_is_no_disguise(term: str, text: str) -> None:
    assert found([term], text) == []


def test_a_doubtful_match_is_told_and_does_not_count() -> None:
    (match,) = find(["加微信"], "他加 微信群").matches
    assert match.score < COUNTED_SCORE
    assert match.matched == "加 微信"


def test_characters_of_the_same_sound_are_for_lists_that_ask() -> None:
    assert find(["微信"], "威信").matches == ()
    (match,) = find(["微信"], "威信", views=tuple(VIEWS.items())).matches
    assert (match.view, match.score) == ("homophones", VIEWS["homophones"])


def test_a_list_chooses_its_views_and_what_they_are_worth() -> None:
    views = (("fold", 1.0), ("leet", 0.3))
    (match,) = find(["fake passport"], "f4ke passport, f a k e p a s s p o r t", views=views).matches
    assert (match.view, match.score) == ("leet", 0.3)


def test_a_longer_match_that_does_not_count_hides_none_that_does() -> None:
    assert found(["微信", "加微信"], "他加 微信群") == ["微信"]


def test_characters_below_one_another_are_vertical() -> None:
    (match,) = find(["枪支"], "出售", "枪", "支").matches
    assert (match.view, match.line, match.span, match.matched) == ("vertical", 1, (0, 1), "枪")
    assert [match.view for match in find(["fake"], "f", "a", "k", "e").matches] == ["vertical"]
    assert find(["枪支"], "水枪", "支").matches == ()


@pytest.mark.parametrize("rows", [("照件假", "一办护", "本理照"), ("假照一", "护件本", "照办啊")])
def test_columns_are_read_both_ways(rows: tuple[str, ...]) -> None:
    (match,) = counted(find(["假护照"], *rows))
    assert (match.view, match.line, match.matched) == ("columns", 0, "假")


def _with(options: TermOptions, *terms: str, allow: tuple[str, ...] = ()) -> list[KeywordMatch]:
    """What a list of one term with these options finds in `text`, the last of `terms`."""
    *listed, text = terms
    keywords = replace(keyword_list(*listed), options=((0, options),), allow=allow)
    matcher = AhoCorasickMatcher(today=lambda: date(2026, 6, 30))
    return list(matcher.match([keywords], {TextSource.OCR: text_of(text)}).matches)


def test_options_of_a_term() -> None:
    exact = TermOptions(exact=True)
    assert [match.matched for match in _with(exact, "假护照", "假护照 假護照 jiahuzhao 假 护 照")] == ["假护照"]
    assert _with(TermOptions(word=True), "共产", "共产党") == []
    assert len(_with(TermOptions(word=True), "共产", "说：共产！")) == 1
    assert len(_with(TermOptions(inside=True), "gun", "shotguns")) == 1
    assert [match.severity for match in _with(TermOptions(severity=Severity.LOW), "gun", "gun")] == [Severity.LOW]
    assert [match.severity for match in _with(TermOptions(), "gun", "gun")] == [Severity.HIGH]


def test_a_term_is_looked_for_until_its_last_day() -> None:
    assert len(_with(TermOptions(until=date(2026, 6, 30)), "gun", "gun")) == 1
    assert _with(TermOptions(until=date(2026, 6, 29)), "gun", "gun") == []


def test_an_expired_term_hides_none_that_is_not() -> None:
    assert [match.term for match in _with(TermOptions(until=date(2026, 6, 1)), "a gun", "gun", "a gun")] == ["gun"]


@pytest.mark.parametrize(
    ("term", "allow", "text", "left"),
    [
        ("口交", "路口交通", "路口交通岗", 0),
        ("口交", "路口交通", "路口交通，口交", 1),
        ("口交", "路口交通", "路 口 交 通", 0),
        ("黄片", "三黄片", "三黃片", 0),
        ("他妈", "他妈妈", "他妈妈和他妈", 1),
        ("共产", "共产党", "中国共产党", 0),
        ("sex", "sex education", "sex education, not sex", 1),
        ("口交通知", "路口交通", "路口交通知", 1),
    ],
)
def test_within_an_allow_phrase_nothing_is_found(term: str, allow: str, text: str, left: int) -> None:
    assert len(_with(TermOptions(), term, text, allow=(allow,))) == left


def test_an_allow_phrase_that_only_sounds_alike_allows_nothing() -> None:
    assert len(_with(TermOptions(), "黄片", "san黄片", allow=("三黄片",))) == 1


def test_patterns_look_at_folded_text() -> None:
    (match,) = _with(TermOptions(kind=TermKind.REGEX), r"加?v[x✘] ?\d{3,}", "请加ＶＸ　１２３４５")
    assert (match.matched, match.view, match.score) == ("加ＶＸ　１２３４５", "regex", 1.0)


@pytest.mark.parametrize(
    ("kind", "text", "matched"),
    [
        ("url", "see www.evil.com/a?b=1 now", "www.evil.com/a?b=1"),
        ("email", "to some.body@mail.org", "s***.****@mail.org"),
        ("phone", "电话 １３８ 0013 8000", "１３８ **** **00"),
        ("wechat", "加微信：abc_12345", "ab*_****5"),
        ("qq", "扣扣群 123456789", "12******9"),
        ("telegram", "t.me/joinus2024", "jo*******4"),
        ("bank_card", "卡 4111 1111 1111 1111", "4111 **** **** 1111"),
        ("id_card", "11010519491231002X", "110*************2X"),
    ],
)
def test_built_in_matchers_mask_what_is_personal(kind: str, text: str, matched: str) -> None:
    (match,) = _with(TermOptions(kind=TermKind.BUILTIN), kind, text)
    assert (match.term, match.view, match.matched) == (kind, "builtin", matched)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bank_card", "4111 1111 1111 1112, 0000 0000 0000 0000, 订单 4111111111111111000000"),
        ("id_card", "110105194912310021, 110105194913310020"),
        ("phone", "20240101123456, 12345678901, 2024-01-01"),
        ("url", "e.g. this, i.e.that, 3.14, file.name, a.b"),
        ("email", "@somebody, a@b"),
        ("qq", "QQ 是一个软件, qq 0123"),
    ],
)
def test_what_built_in_matchers_leave_alone(kind: str, text: str) -> None:
    assert _with(TermOptions(kind=TermKind.BUILTIN), kind, text) == []


def test_an_allowed_host_says_nothing_of_others_that_name_it() -> None:
    options = TermOptions(kind=TermKind.BUILTIN)
    allowed = "www.example.com/a and https://shop.example.com:8080"
    assert _with(options, "url", allowed, allow=("example.com",)) == []
    evil = "http://evil.org/?example.com http://example.com@evil.org http://example.com.evil.org notexample.com"
    assert len(_with(options, "url", evil, allow=("example.com",))) == 4


def test_a_text_too_long_to_match_is_not_a_text_without_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_CHARACTERS", 20)
    finding = find(["gun"], "a gun", "x" * 30, "a gun")
    assert finding.sources[TextSource.OCR] is Status.FAILED
    assert [match.line for match in finding.matches] == [0]


def test_matches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_MATCHES", 7)
    finding = find(["gun"], "gun " * 50)
    assert len(finding.matches) == 7
    assert finding.cut == ("contraband",)
    assert find(["gun"], "gun " * 7).cut == ()


def test_a_pattern_that_stopped_at_its_bound_says_so() -> None:
    keywords = replace(keyword_list("[0-9]x"), options=((0, TermOptions(kind=TermKind.REGEX)),))
    for repeats, cut in ((99, ()), (100, (keywords.name,))):
        finding = AhoCorasickMatcher().match([keywords], {TextSource.OCR: text_of("1x " * repeats)})
        assert (len(finding.matches), finding.cut) == (repeats, cut)


@pytest.mark.parametrize(
    "text", ["a" * 5000, "a " * 5000, "山" * 5000, "xian" * 1500, "槍" * 3000, "1" * 5000, "🔥a" * 3000]
)
def test_monotonous_text_is_matched_in_bounded_time(text: str) -> None:
    """Nothing here is quadratic: the test is over at once, or hangs."""
    find(["aa", "a a", "aaa bbb", "山山", "先先先", "xian先", "枪枪", "111", "aXa"], text, views=tuple(VIEWS.items()))
