import asyncio
import gc
import math
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.domain import Answer, Status, TextFinding, TextLine
from app.moderation.findings_cache import CacheLimits, FindingsCache, Part
from app.moderation.recall import TEXT

ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cache_of(
    bytes_kept: int = 1 << 20, ttl_s: float = 60, pictures: int = 1000, clock: Callable[[], float] | None = None
) -> FindingsCache:
    return FindingsCache(CacheLimits(bytes_kept, ttl_s, pictures), clock=clock or Clock())


def text_of(cache: FindingsCache, picture: str, what: str = "ocr") -> Part[TextFinding]:
    return Part(cache.picture(picture), cache.digest(what), TEXT)


def text(*lines: str) -> TextFinding:
    return TextFinding(status=Status.OK, lines=tuple(TextLine(text=line) for line in lines))


async def test_what_was_kept_comes_back_equal_and_nothing_else_does() -> None:
    cache = cache_of()
    box = ((0.5, 0.0), (9.25, 0.0), (9.25, 3.0), (0.5, 3.0))
    found = TextFinding(status=Status.OK, lines=(TextLine(text="加微信", frame=2, confidence=0.1234, box=box),))
    cache.put(text_of(cache, "aa"), found)
    assert cache.get(text_of(cache, "aa")) == found
    assert cache.get(text_of(cache, "ab")) is None
    assert cache.get(text_of(cache, "aa", "codes")) is None


@given(
    st.builds(
        Answer,
        question_id=st.text(),
        status=st.just(Status.OK),
        log_yes=st.none() | st.floats(max_value=0, allow_nan=False, allow_infinity=False),
        text=st.none() | st.text(),
        truncated=st.booleans(),
        log_choices=st.none() | st.lists(st.floats(-50, 0), max_size=3).map(tuple),
    )
)
async def test_an_answer_comes_back_to_the_last_bit(answer: Answer) -> None:
    cache = cache_of()
    part = Part(cache.picture("aa"), cache.digest("question"), ANSWER)
    cache.put(part, answer)
    assert cache.get(part) == answer


async def test_text_that_cannot_be_written_down_is_not_kept() -> None:
    cache = cache_of()
    part = Part(cache.picture("aa"), cache.digest("question"), ANSWER)
    cache.put(part, Answer(question_id="scene", status=Status.OK, text="\ud800"))
    assert (cache.get(part), cache.size_bytes) == (None, 0)


async def test_two_caches_name_the_same_picture_differently() -> None:
    assert cache_of().picture("aa") != cache_of().picture("aa")
    assert "a picture's digest" not in repr(cache_of().picture("a picture's digest"))


async def test_nothing_outlives_its_time_however_often_it_is_used() -> None:
    clock = Clock()
    cache = cache_of(ttl_s=60, clock=clock)
    cache.put(text_of(cache, "aa"), text("x"))
    clock.now += 59
    assert cache.get(text_of(cache, "aa")) is not None
    cache.put(text_of(cache, "aa", "later"), text("y"))
    clock.now += 1
    assert cache.get(text_of(cache, "aa")) is None
    assert cache.get(text_of(cache, "aa", "later")) is None
    assert (cache.size_bytes, cache.pictures) == (0, 0)


async def test_it_ends_also_where_nobody_asks_any_more() -> None:
    cache = FindingsCache(CacheLimits(1 << 20, ttl_s=0.01))
    cache.put(text_of(cache, "aa"), text("x"))
    for _ in range(500):
        if cache.pictures == 0:
            break
        await asyncio.sleep(0.01)
    assert (cache.size_bytes, cache.pictures) == (0, 0)


async def test_the_least_recently_used_picture_makes_room() -> None:
    cache = cache_of(pictures=2)
    for picture in ("aa", "bb"):
        cache.put(text_of(cache, picture), text(picture))
    assert cache.get(text_of(cache, "aa")) is not None
    cache.put(text_of(cache, "cc"), text("cc"))
    assert [cache.get(text_of(cache, one)) is not None for one in ("aa", "bb", "cc")] == [True, False, True]


async def test_a_picture_that_would_fill_the_cache_alone_is_not_kept() -> None:
    cache = cache_of(bytes_kept=8000)
    cache.put(text_of(cache, "aa"), text("small"))
    cache.put(text_of(cache, "bb"), text("x" * 9000))
    assert cache.get(text_of(cache, "aa")) is not None
    assert cache.get(text_of(cache, "bb")) is None
    cache.put(text_of(cache, "aa", "more"), text("x" * 9000))
    assert (cache.size_bytes, cache.pictures) == (0, 0)


async def test_a_picture_of_which_ever_more_is_known_leaves_others_their_room() -> None:
    """As one does that comes with another caption each time."""
    cache = cache_of(bytes_kept=64_000)
    for number in range(20):
        cache.put(text_of(cache, f"other {number}"), text("small"))
    before = cache.size_bytes
    for number in range(1000):
        cache.put(text_of(cache, "aa", f"caption {number}"), text("small"))
        assert cache.size_bytes <= before + 64_000 // 4
    assert cache.pictures == 21
    assert cache.get(text_of(cache, "aa", "caption 999")) is not None
    assert cache.get(text_of(cache, "aa", "caption 0")) is None


async def test_what_was_put_last_goes_last() -> None:
    cache = cache_of(bytes_kept=16_000)  # three of these for one picture
    for part in ("first", "second", "third", "first", "fourth"):
        cache.put(text_of(cache, "aa", part), text("x" * 600))
    parts = {part: cache.get(text_of(cache, "aa", part)) for part in ("first", "second", "third", "fourth")}
    assert [part for part, found in parts.items() if found] == ["first", "third", "fourth"]


async def test_a_forgotten_picture_is_gone_and_others_stay() -> None:
    cache = cache_of()
    for picture in ("aa", "bb"):
        cache.put(text_of(cache, picture), text(picture))
    cache.forget("aa")
    cache.forget("never seen")
    assert cache.get(text_of(cache, "aa")) is None
    assert cache.get(text_of(cache, "bb")) is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "get", "forget", "wait"]),
        st.sampled_from(["aa", "bb", "cc", "dd"]),
        st.sampled_from(["ocr", "codes"]),
        st.integers(0, 3000),
    ),
    max_size=40,
)


@given(STEPS)
async def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, str, str, int]]) -> None:
    clock = Clock()
    limits = CacheLimits(bytes_kept=6000, ttl_s=30, pictures=3)
    cache = FindingsCache(limits, clock=clock)
    put_at: dict[str, float] = {}
    latest: dict[tuple[str, str], TextFinding] = {}
    for what, picture, part, number in steps:
        if what == "put":
            value = text("x" * number)
            cache.put(text_of(cache, picture, part), value)
            latest[picture, part] = value
            put_at[picture] = clock.now
        elif what == "get":
            found = cache.get(text_of(cache, picture, part))
            if found is not None:
                assert found == latest[picture, part]
                assert clock.now < put_at[picture] + limits.ttl_s
        elif what == "forget":
            cache.forget(picture)
            assert cache.get(text_of(cache, picture, part)) is None
        else:
            clock.now += number % 20
        assert 0 <= cache.size_bytes <= limits.bytes_kept
        assert cache.pictures <= limits.pictures
        assert (cache.size_bytes == 0) == (cache.pictures == 0)


async def test_it_counts_at_least_the_memory_that_it_takes() -> None:
    cache = cache_of(bytes_kept=1 << 30, pictures=10_000)
    parts = [(text_of(cache, f"{n:064x}", f"ocr{m}"), text("word " * (n % 7))) for n in range(300) for m in range(4)]
    gc.collect()
    before = _held(cache)
    for part, value in parts:
        cache.put(part, value)
    held = _held(cache) - before
    assert held <= cache.size_bytes <= 3 * held


def _held(root: object) -> int:
    """Bytes of everything that hangs on it, but for classes, modules and the running loop."""
    seen: set[int] = set()
    todo, total = [root], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | asyncio.TimerHandle) or callable(one):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        todo += gc.get_referents(one)
    return total


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_what_is_no_number_would_not_come_back(number: float) -> None:
    """Why an answer has to be finite to be kept: JSON has no such numbers."""
    cache = cache_of()
    part = Part(cache.picture("aa"), cache.digest("question"), ANSWER)
    cache.put(part, Answer(question_id="q", status=Status.OK, log_yes=number, log_no=0.0))
    kept = cache.get(part)
    assert kept is None or kept.log_yes is None
