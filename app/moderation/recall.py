"""What is known of an upload's picture already, and who is finding out the rest.

Of two uploads of one picture at once the second follows the first instead of asking again. It waits within its own
deadline, and asks for itself where the first gives up (its caller went away) or comes back without a sound finding (its
deadline was shorter): nobody's fault becomes another's.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from app.domain import (
    Answer,
    CodesFinding,
    EngineInfo,
    Frame,
    Image,
    KeywordFinding,
    Question,
    Status,
    TextFinding,
    TextSource,
    WrittenText,
)
from app.metrics import FINDINGS_ASKED
from app.moderation.findings_cache import FindingsCache, Part
from app.moderation.flights import Flights, landing
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch

T = TypeVar("T")
F = TypeVar("F", TextFinding, CodesFinding)

TEXT: TypeAdapter[TextFinding] = TypeAdapter(TextFinding)
CODES: TypeAdapter[CodesFinding] = TypeAdapter(CodesFinding)
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
_MATCHES: TypeAdapter[KeywordFinding] = TypeAdapter(KeywordFinding)

_ASKED, _KEPT, _SHARED = "asked", "kept", "shared"
#: Looking a label up each time took a tenth of the time that looking everything else up takes.
_counter = cache(FINDINGS_ASKED.labels)


class Memory:
    """What uploads leave for later ones. Without a cache every upload asks everything itself."""

    def __init__(self, cache: FindingsCache | None) -> None:
        self._cache = cache
        self.flights: Flights[Any] = Flights()

    def of(self, image: Image) -> "Recall":
        return Recall(self._cache, self.flights, image)


class Recall:
    """For one upload. `recalled` names what was not asked for it: `ocr`, `probes.violence`, `scene` …"""

    def __init__(self, cache: FindingsCache | None, flights: Flights[Any], image: Image) -> None:
        self._cache = cache
        self._picture = b"" if cache is None else cache.picture(image.facts.sha256)
        self._plan = _plan(image.frames)
        self.flights = flights
        self.recalled: set[str] = set()

    async def finding(
        self,
        name: str,
        version: str,
        shape: TypeAdapter[F],
        read: Callable[[], Awaitable[F]],
        watch: Stopwatch,
    ) -> F:
        """What the reader of this name and version finds in the picture, or found. Raises what `read` raises."""
        part = self.reading(name, version, shape)
        if part is None:
            self.ask(name)
            return await read()
        found = await self._found(name, part, watch)
        if found is not None:
            return found
        self.ask(name)
        with self.flights.leading([part] if self.flights.under_way(part) is None else []) as leader:
            finding = await read()
            sound = finding.status is Status.OK
            if sound:
                self.keep(part, finding)
            leader.land(part, finding, sound=sound)
            return finding

    async def _found(self, name: str, part: Part[F], watch: Stopwatch) -> F | None:
        while (kept := self.kept(name, part)) is None:
            flight = self.flights.under_way(part)
            if flight is None:
                return None
            try:
                landed = await landing(flight, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
            except TimeoutError:
                return None
            if landed is None:
                continue
            if landed.sound or watch.remaining_s(reserve_s=FINISH_RESERVE_S) <= 0:
                self.share(name)
                found: F = landed.value
                return found
            return None
        return kept

    def reading(self, name: str, version: str, shape: TypeAdapter[F]) -> Part[F] | None:
        """What the reader of this name and version is asked; None where nothing is remembered."""
        if self._cache is None:
            return None
        return Part(self._picture, self._cache.name(name, version, self._plan), shape)

    def question(self, about: Frame | WrittenText, question: Question, engine: EngineInfo) -> Part[Answer] | None:
        """Which answer is wanted, whatever a policy calls the question. None where nothing can be remembered: without
        a digest nobody knows which model answers. What is known of a text is kept with the picture it came with, and
        goes when that does."""
        if self._cache is None or engine.model_digest is None:
            return None
        asked = _nameless(question)
        pins = engine.name, engine.model_digest, engine.projector_digest
        if isinstance(about, Frame):
            return Part(self._picture, self._cache.name(pins, (self._plan, about.index), asked), _ANSWER)
        return Part(self._picture, self._cache.digest(pins, about, asked), _ANSWER)

    def matches(self, lists: str, source: TextSource, text: TextFinding) -> Part[KeywordFinding] | None:
        """What lists of this version are asked of a text. None where nothing is remembered, and for a text that cannot
        be written down."""
        if self._cache is None:
            return None
        try:
            written = TEXT.dump_json(text)
        except ValueError:  # half a surrogate pair
            return None
        return Part(self._picture, self._cache.digest("keywords", lists, source.value, written), _MATCHES)

    def keep(self, part: Part[T], found: T) -> None:
        if self._cache is not None:
            self._cache.put(part, found)

    def glance(self, part: Part[T] | None) -> T | None:
        """What is kept, without saying that it is used."""
        return None if self._cache is None or part is None else self._cache.get(part)

    def kept(self, name: str, part: Part[T]) -> T | None:
        found = self.glance(part)
        if found is not None:
            self._note(name, _KEPT)
        return found

    def count_kept(self, names: Iterable[str]) -> None:
        """That these were glanced at and are used, each as often as it is named."""
        names = list(names)
        self.recalled.update(names)
        for signal, times in Counter(name.partition(".")[0] for name in names).items():
            _counter(signal, _KEPT).inc(times)

    def share(self, name: str) -> None:
        """That another upload's finding of the same picture is used."""
        self._note(name, _SHARED)

    def ask(self, name: str) -> None:
        """That nothing is known."""
        _counter(name.partition(".")[0], _ASKED).inc()

    def _note(self, name: str, how: str) -> None:
        self.recalled.add(name)
        _counter(name.partition(".")[0], how).inc()


@lru_cache(1024)
def _nameless(question: Question) -> Question:
    return replace(question, id="")


def name_of(question_id: str) -> str:
    """What a finding is called: `probes.violence` of `probes/violence/en`."""
    return ".".join(question_id.split("/")[:2])


def is_sound(answer: Answer) -> bool:
    """Whether it says the same whoever asks. An answer that is neither yes nor no is one too: how much of an answer is
    enough is each policy's to say."""
    numbers = (answer.log_yes, answer.log_no, *(answer.log_choices or ()))
    return answer.status is Status.OK and all(number is None or math.isfinite(number) for number in numbers)


def _plan(frames: Iterable[Frame]) -> tuple[object, ...]:
    """What is looked at of a picture. The same bytes are decoded alike, so this stands for the pixels."""
    return tuple(
        (one.index, one.source_frame, one.backdrop.value, one.scale, one.picture.width, one.picture.height)
        for one in frames
    )
