"""Texts that were matched before: what is found of them is what matching them again would find."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import KeywordFinding, KeywordList, Status, TermOptions, TextFinding, TextSource
from app.moderation.findings_cache import FindingsCache
from app.moderation.matching import Matching
from app.moderation.recall import Memory
from app.signals.keywords import MAX_CHARACTERS, MAX_MATCHES, AhoCorasickMatcher
from tests.moderation.test_recall import image, new_cache
from tests.signals.keyword_support import keyword_list, text_of

LISTS = (keyword_list("fake passport", "vx"),)
OCR, CAPTION = TextSource.OCR, TextSource.CAPTION


class Counting(AhoCorasickMatcher):
    """Says which texts it was given."""

    def __init__(self, day: date = date(2026, 1, 1)) -> None:
        super().__init__(lambda: self.day)
        self.day = day
        self.given: list[list[TextSource]] = []

    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        self.given.append(list(texts))
        return super().match(lists, texts)


class House:
    def __init__(self, cache: FindingsCache | None = None) -> None:
        self.matcher = Counting()
        self.cache = cache or new_cache()
        self.memory = Memory(self.cache)

    async def match(
        self, texts: Mapping[TextSource, TextFinding], lists: Sequence[KeywordList] = LISTS, *, picture: str = "aa"
    ) -> KeywordFinding:
        """What is found, which is what is found without a memory too."""
        found = await Matching(self.matcher, self.memory.of(image(picture))).match(lists, texts)
        assert found == AhoCorasickMatcher(lambda: self.matcher.day).match(lists, texts)
        return found


READ = {OCR: text_of("buy fake passport", "加vx"), CAPTION: text_of("a fake passport?")}


async def test_a_text_is_matched_once() -> None:
    house = House()
    first, second = await house.match(READ), await house.match(READ)
    assert first == second
    assert len(first.matches) == 3
    assert house.matcher.given == [[OCR, CAPTION]]


async def test_of_another_caption_the_caption_alone_is_matched() -> None:
    house = House()
    await house.match(READ)
    assert len((await house.match(READ | {CAPTION: text_of("vx vx")})).matches) == 4
    assert house.matcher.given == [[OCR, CAPTION], [CAPTION]]


async def test_another_picture_has_nothing_of_it() -> None:
    house = House()
    await house.match(READ)
    await house.match(READ, picture="bb")
    assert house.matcher.given == [[OCR, CAPTION]] * 2


async def test_what_was_found_goes_with_its_picture() -> None:
    house = House()
    await house.match(READ)
    house.cache.forget("aa")
    await house.match(READ)
    assert house.matcher.given == [[OCR, CAPTION]] * 2


async def test_lists_that_were_read_anew_are_matched_anew() -> None:
    """Also where a digest says that they are the same: the terms are what counts."""
    house = House()
    await house.match(READ)
    other = (replace(LISTS[0], terms=("buy",)),)
    assert [match.term for match in (await house.match(READ, other)).matches] == ["buy"]
    assert len((await house.match(READ)).matches) == 3
    assert house.matcher.given == [[OCR, CAPTION]] * 2


async def test_a_term_that_ends_is_not_found_the_day_after() -> None:
    house = House()
    ending = (replace(LISTS[0], options=((0, TermOptions(until=house.matcher.day)),)),)
    assert len((await house.match(READ, ending)).matches) == 3
    house.matcher.day = date(2026, 1, 2)
    assert len((await house.match(READ, ending)).matches) == 1


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEOUT, Status.SKIPPED])
async def test_a_text_that_was_not_read_to_its_end_is_matched_each_time(status: Status) -> None:
    house, texts = House(), READ | {OCR: text_of("buy fake passport", status=status)}
    for _ in range(2):
        assert (await house.match(texts)).sources == {OCR: status, CAPTION: Status.OK}
    assert house.matcher.given == [[OCR, CAPTION], [OCR]]


async def test_a_text_too_long_to_be_matched_whole_is_unread_each_time() -> None:
    house, texts = House(), READ | {OCR: text_of("x" * (MAX_CHARACTERS + 1))}
    for _ in range(2):
        assert (await house.match(texts)).sources == {OCR: Status.FAILED, CAPTION: Status.OK}
    assert house.matcher.given == [[OCR, CAPTION], [OCR]]


async def test_of_a_list_that_was_cut_nothing_is_kept() -> None:
    house, texts = House(), READ | {CAPTION: text_of(*["vx"] * (MAX_MATCHES + 1))}
    for _ in range(2):
        assert (await house.match(texts)).cut == ("contraband",)
    assert house.matcher.given == [[OCR, CAPTION]] * 2


async def test_text_that_cannot_be_written_down_is_matched_each_time() -> None:
    house, texts = House(), {CAPTION: text_of("vx \ud83d")}
    for _ in range(2):
        assert len((await house.match(texts)).matches) == 1
    assert house.matcher.given == [[CAPTION]] * 2


async def test_a_matcher_that_breaks_leaves_every_source_unread() -> None:
    class Broken(Counting):
        def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
            raise ZeroDivisionError

    house = House()
    await house.match({OCR: READ[OCR]})
    found = await Matching(Broken(), house.memory.of(image("aa"))).match(LISTS, READ)
    assert found == KeywordFinding(sources={OCR: Status.FAILED, CAPTION: Status.FAILED})


_texts = st.dictionaries(
    st.sampled_from(TextSource),
    st.builds(
        lambda lines, status: text_of(*lines, status=status),
        st.lists(st.sampled_from(["fake passport", "vx", "a fake", "passport", "", "v x", "plain"]), max_size=3),
        st.sampled_from([Status.OK, Status.OK, Status.FAILED]),
    ),
)
_ALL = (
    keyword_list("fake passport", name="papers", sources=frozenset(TextSource)),
    keyword_list("vx", "passport", name="contacts"),
)


@given(st.lists(st.tuples(_texts, st.sampled_from([(), _ALL[:1], _ALL[1:], _ALL])), max_size=6))
async def test_whatever_came_before_the_same_is_found(
    asked: list[tuple[dict[TextSource, TextFinding], tuple[KeywordList, ...]]],
) -> None:
    house = House()
    for texts, lists in asked:
        await house.match(texts, lists)
