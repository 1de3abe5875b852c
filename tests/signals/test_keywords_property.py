"""Against brute force: every place where a term could stand is tried."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import VIEWS, KeywordMatch, TextSource
from app.signals.explain import explain, tokens
from app.signals.keywords import AhoCorasickMatcher
from app.signals.normalise import View, fold, fold_term
from app.signals.pinyin import spell
from tests.signals.keyword_support import FOLD_ONLY, counted, find, keyword_list, text_of

#: Small, so that terms overlap, repeat and adjoin: words, CJK, an expansion, marks, a symbol, a look-alike.
_ALPHABET = "ab枪支 -ßａ\u0301\u200bⓐ①а😀\t"

_TERMS = st.lists(
    st.text(_ALPHABET, min_size=1, max_size=5).filter(lambda term: fold(term).text.strip()), min_size=1, max_size=8
)
_LINE = st.text(_ALPHABET, max_size=30)


def _word_goes_on(view: View, left: int, right: int) -> bool:
    both = all(view.text[at].isascii() and view.text[at].isalnum() for at in (left, right))
    return both and (left in view.enclosed) == (right in view.enclosed)


def _brute_force(terms: list[str], line: str) -> list[tuple[int, int, str]]:
    view = fold(line)
    places: dict[tuple[int, int], str] = {}
    for term in terms:
        wanted = fold(term).text.strip(" ")
        for start in range(len(view.text) - len(wanted) + 1):
            end = start + len(wanted)
            if view.text[start:end] != wanted:
                continue
            if start > 0 and _word_goes_on(view, start - 1, start):
                continue
            if end < len(view.text) and _word_goes_on(view, end - 1, end):
                continue
            first, last = view.span(start, end)
            if fold(line[first:last]).text == wanted:
                places.setdefault((first, last), term)
    return sorted(
        (first, last, term)
        for (first, last), term in places.items()
        if not any(other != (first, last) and other[0] <= first and last <= other[1] for other in places)
    )


@given(_TERMS, _LINE)
@settings(max_examples=400)
def test_the_matches_of_a_line_are_those_that_brute_force_finds(terms: list[str], line: str) -> None:
    finding = find(terms, line, views=FOLD_ONLY)
    assert sorted((*match.span, match.term) for match in finding.matches) == _brute_force(terms, line)


@given(_TERMS, _LINE)
@settings(max_examples=300)
def test_looser_views_hide_nothing_that_stands_there_plainly(terms: list[str], line: str) -> None:
    """Every match of the fold view is there, or lies inside one that counts."""
    matches = counted(find(terms, line))
    for start, end, _ in _brute_force(terms, line):
        assert any(match.span[0] <= start and end <= match.span[1] for match in matches)


@given(_TERMS, st.lists(_LINE, max_size=5))
@settings(max_examples=200)
def test_a_span_cuts_out_what_it_says(terms: list[str], lines: list[str]) -> None:
    for match in find(terms, *lines).matches:
        line = lines[match.line]
        start, end = match.span
        assert 0 <= start < end <= len(line)
        assert match.matched == line[start:end]
        assert match.term in terms
        if match.view == "fold":
            assert fold(match.matched).text == fold(match.term).text.strip(" ")
        elif match.view == "wrapped":
            assert _begins_like(match)


#: Beside the above: what is disguised and what disguises.
_DISGUISES = _ALPHABET + "槍木仓il1!4@0o$*qiangzh"


@given(
    st.lists(st.text("ab枪支护ilo1 -", min_size=2, max_size=6).filter(str.strip), min_size=1, max_size=6),
    st.text(_DISGUISES, max_size=40),
)
@settings(max_examples=400)
def test_what_a_span_cuts_out_reads_as_the_term(terms: list[str], line: str) -> None:
    for match in find(terms, line, views=tuple(VIEWS.items())).matches:
        text, term = fold(match.matched).text, fold_term(match.term)
        views = set(match.view.split("+"))
        if views == {"fold"}:
            assert text == term
        elif views & {"pinyin", "fuzzy_pinyin", "homophones"}:
            spelling = spell(tokens(text), tokens(term))
            assert spelling is not None
            assert spelling.view in views
        else:
            read = text[::-1] if "reversed" in views else text
            assert any(explain(tokens(read, signs=signs), tokens(term, signs=signs)) for signs in (False, True)), match


@given(
    st.lists(st.text("ab枪支护", min_size=2, max_size=3), min_size=1, max_size=6, unique=True),
    st.lists(st.text("ab枪支护", min_size=2, max_size=5), max_size=4),
    st.text("ab枪支护 *槍", max_size=30),
)
@settings(max_examples=300)
def test_allow_phrases_never_create_a_match(terms: list[str], allow: list[str], line: str) -> None:
    plain = keyword_list(*terms)
    excused = replace(plain, allow=tuple(allow), digest="sha256:excused")
    matcher = AhoCorasickMatcher()
    text = {TextSource.OCR: text_of(line)}
    without = {
        (match.span, match.term) for match in matcher.match([replace(plain, digest="sha256:plain")], text).matches
    }
    found = matcher.match([excused], text).matches
    for match in found:
        assert match.term in terms
        assert (match.span, match.term) in without or any(
            start <= match.span[0] and match.span[1] <= end for (start, end), _ in without
        )


def _begins_like(match: KeywordMatch) -> bool:
    wanted, got = fold(match.term).text.strip(" "), fold(match.matched).text.strip(" ")
    return wanted.startswith((got, got.removesuffix("-")))


@given(_TERMS, st.lists(_LINE, min_size=1, max_size=5))
@settings(max_examples=200)
def test_joining_lines_hides_no_match_of_a_line(terms: list[str], lines: list[str]) -> None:
    """Every match of a line alone is there, or lies inside a longer one that goes on over the break."""
    joined = find(terms, *lines, views=FOLD_ONLY).matches
    for number, line in enumerate(lines):
        for alone in find(terms, line, views=FOLD_ONLY).matches:
            start, end = alone.span
            assert any(_covers(match, number, start, end) for match in joined)


def _covers(match: KeywordMatch, line: int, start: int, end: int) -> bool:
    if match.line == line:
        return match.span[0] <= start and end <= match.span[1]
    return match.view == "wrapped" and match.line < line


@given(st.text("ab枪支假\u0301", min_size=4, max_size=8), st.data())
@settings(max_examples=200)
def test_a_term_is_found_wherever_a_line_of_chinese_breaks(term: str, data: st.DataObject) -> None:
    term = "枪" + "支".join(character for character in term if character in "枪支假") + "假枪"
    cut = data.draw(st.integers(1, len(term) - 1))
    assert [match.term for match in find([term], "办" + term[:cut], term[cut:] + "了").matches] == [term]
