"""What matching and reloading cost with a hundred thousand terms."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.domain import KeywordList, Status, TextFinding, TextLine, TextSource
from app.policy.lists import parse_list
from app.signals.keywords import AhoCorasickMatcher
from benchmarks.text.innocent import sentences

_HEADER = "---\ncategory: contraband\nseverity: high\nlanguages: en, zh\n---\n"
_REPEATS = 40

T = TypeVar("T")

#: Characters that are used, as far as a list is concerned: the beginning of the CJK block would be mostly rare ones.
_HAN = sorted(
    {character for sentence in sentences(2000) for character in sentence if "\u4e00" <= character <= "\u9fff"}
)


@dataclass(frozen=True, slots=True)
class Costs:
    """Milliseconds of processor time, the least of several for matching; `longest_stall_ms` is how late an event loop
    beside the reload was at worst, by the clock, in the best of three reloads: a busy machine stalls by itself."""

    match_ms: dict[str, float]
    parse_ms: float
    index_ms: float
    longest_stall_ms: float


def big_list(terms: int, *, seed: int = 6) -> bytes:
    """Half English phrases of two words, half Chinese of three to six characters."""
    rng = random.Random(seed)  # noqa: S311 - the same list every time
    letters = "aaabcdeeefghiiijklmnooopqrrssttuuvwxyz"
    found: dict[str, None] = {}
    while len(found) < terms:
        words = ["".join(rng.choice(letters) for _ in range(rng.randint(4, 9))) for _ in range(2)]
        found[" ".join(words)] = None
        found["".join(rng.choice(_HAN) for _ in range(rng.randint(3, 6)))] = None
    return (_HEADER + "\n".join(list(found)[:terms])).encode()


def measure(terms: int = 100_000, characters: int = 300) -> Costs:
    data = big_list(terms)
    keywords, parse_ms = _timed(lambda: parse_list("big", data))
    matcher = AhoCorasickMatcher()
    _, index_ms = _timed(lambda: matcher.prepare([keywords]))
    text = " ".join(sentences(4000, seed=7))
    english = "".join(character for character in text if character.isascii())
    chinese = "".join(character for character in text if not character.isascii())
    samples = {
        "English": english[:characters],
        "Chinese": chinese[:characters],
        "mixed": (english[: characters // 2] + chinese)[:characters],
    }
    match_ms = {name: _match_ms(matcher, keywords, sample) for name, sample in samples.items()}
    stalls = [asyncio.run(_stall(data)) for _ in range(3)]
    return Costs(match_ms, parse_ms, index_ms, min(stalls))


def _match_ms(matcher: AhoCorasickMatcher, keywords: KeywordList, text: str) -> float:
    finding = TextFinding(status=Status.OK, lines=tuple(TextLine(text=line) for line in text.split("\n")))
    return min(_timed(lambda: matcher.match([keywords], {TextSource.OCR: finding}))[1] for _ in range(_REPEATS))


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    started = time.thread_time()
    result = run()
    return result, (time.thread_time() - started) * 1000


async def _stall(data: bytes) -> float:
    """The latest tick of a loop that wants one every millisecond while the list is read and indexed beside it."""
    matcher, late = AhoCorasickMatcher(), 0.0
    reload = asyncio.create_task(asyncio.to_thread(lambda: matcher.prepare([parse_list("big", data)])))
    while not reload.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late = max(late, time.perf_counter() - before - 0.001)
    await reload
    return late * 1000
