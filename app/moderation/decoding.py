"""An upload becomes a picture: decoded, known from before, or decoded just now for another upload of the same bytes."""

import structlog

from app.domain import Image
from app.errors import DecodeFailed, NotReady, UploadError, WorkerCrashed, WorkersNotRunning, WorkerTimeout
from app.intake.decode import Inspected, Intake
from app.metrics import FINDINGS_ASKED
from app.moderation.findings_cache import FindingsCache, Part
from app.moderation.flights import Flights, landing
from app.moderation.outline import OUTLINE, Outline
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch

log = structlog.get_logger(__name__)

_SIGNAL = "picture"

#: Nobody waits for what is done beside the decisions; uploads go first by being there first.
_BESIDE_S = 30.0


class Decoding:
    """Without a cache every upload is decoded. A refusal is never kept, but given to uploads that waited for it."""

    def __init__(self, intake: Intake, cache: FindingsCache | None) -> None:
        self._intake = intake
        self._cache = cache
        self._flights: Flights[Image | UploadError] = Flights()

    async def inspect(self, data: bytes) -> Inspected:
        """Raises UploadError for what can be seen to be no sound picture without decoding it."""
        return await self._intake.inspect(data)

    def recalled(self, file: Inspected) -> Image | None:
        """The picture as far as it is known from before: without pixels."""
        part = self._part(file)
        kept = None if part is None or self._cache is None else self._cache.get(part)
        return None if kept is None else kept.image

    def count_recalled(self) -> None:
        """That a picture was not decoded."""
        FINDINGS_ASKED.labels(_SIGNAL, "kept").inc()

    async def decode(self, file: Inspected, watch: Stopwatch) -> Image:
        """The picture with its pixels. Raises UploadError, and NotReady where the deadline came first, or no media
        worker runs."""
        part = self._part(file)
        if part is None or self._cache is None:
            return await self._decode(file, watch)
        flight = self._flights.under_way(part)
        if flight is not None:
            try:
                landed = await landing(flight, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
            except TimeoutError as timeout:
                raise _too_late() from timeout
            if landed is not None:
                FINDINGS_ASKED.labels(_SIGNAL, "shared").inc()
                return _opened(landed.value)
        # Whoever waited in vain does not wait again: a picture that kills decoders would take all their time in turn.
        with self._flights.leading([part] if self._flights.under_way(part) is None else []) as leader:
            try:
                image = await self._decode(file, watch)
            except UploadError as refusal:
                leader.land(part, refusal, sound=True)
                raise
            self._cache.put(part, Outline.of(image))
            leader.land(part, image, sound=True)
            return image

    async def decode_beside(self, file: Inspected) -> Image:
        """The pixels of a picture that is decided already. Raises UploadError and NotReady."""
        return await self.decode(file, Stopwatch(_BESIDE_S))

    async def _decode(self, file: Inspected, watch: Stopwatch) -> Image:
        """A crash costs one retry; a picture that kills two workers is refused as one that cannot be decoded."""
        FINDINGS_ASKED.labels(_SIGNAL, "asked").inc()
        try:
            return await self._decode_once(file, watch)
        except WorkerCrashed:
            log.warning("media worker died while decoding; trying once more", action="decode_retried")
        try:
            return await self._decode_once(file, watch)
        except WorkerCrashed as crash:
            raise DecodeFailed("the picture could not be decoded: the decoder died on it twice") from crash

    async def _decode_once(self, file: Inspected, watch: Stopwatch) -> Image:
        try:
            return await self._intake.decode(file, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
        except WorkerTimeout as timeout:
            raise _too_late() from timeout
        except WorkersNotRunning as missing:  # while the service starts there are none yet: no fault of the picture
            raise NotReady("no picture can be decoded at the moment", retry_after_s=2) from missing

    def _part(self, file: Inspected) -> Part[Outline] | None:
        if self._cache is None:
            return None
        return Part(self._cache.picture(file.sha256), self._cache.name(_SIGNAL, self._intake.pins), OUTLINE)


def _too_late() -> NotReady:
    return NotReady("the picture could not be decoded within the deadline", retry_after_s=2)


def _opened(landed: Image | UploadError) -> Image:
    """What another upload's decoding came to. The refusal is a new one: each is raised with a trace of its own."""
    if isinstance(landed, UploadError):
        raise type(landed)(landed.detail)
    return landed
