"""The text in a picture, read by RapidOCR in the media workers."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from importlib.metadata import version

import structlog

from app.domain import Frame, Picture, Status, TextFinding, TextLine
from app.domain.findings import Box
from app.errors import WorkerError, WorkerTimeout
from app.signals.ocr_layout import same_place
from app.signals.ocr_worker import FrameReading, load_ocr, read_frame
from app.workers import Workers

__all__ = ["RapidOcrReader", "load_ocr"]

log = structlog.get_logger(__name__)

#: A worker, which looks at the clock between tiles and lines, is to stop by itself this long before its time is up:
#: then what it read is kept, and it need not be killed.
_GRACE_SHARE = 0.15
_MIN_GRACE_S = 1.0

#: Workers that one upload may keep busy at once.
_PARALLEL_FRAMES = 2

_MIN_TIME_S = 0.01

#: Equal lines of text that later ones are compared with: a picture tiled with one word must not cost the square of it.
_MAX_COMPARED = 64


class RapidOcrReader:
    """A `TextReader`. Frames that look the same are read once; text that several frames show at one place is given
    once. When a frame could not be read, the finding says so and holds the lines of the others."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._version = f"rapidocr {version('rapidocr')}"

    @property
    def version(self) -> str:
        return self._version

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        if not frames:
            return TextFinding(status=Status.FAILED, reason="no frames")
        ends_at = time.monotonic() + timeout_s
        pictures = deque({frame.picture: None for frame in frames})
        readings: dict[Picture, FrameReading] = {}

        async def work() -> None:
            while pictures:
                left = len(pictures)
                share_s = max(0.0, ends_at - time.monotonic()) * min(1.0, _PARALLEL_FRAMES / left)
                picture = pictures.popleft()
                readings[picture] = await self._read_picture(picture, share_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_PARALLEL_FRAMES, len(pictures))):
                group.create_task(work())
        return _finding([(frame, readings[frame.picture]) for frame in frames])

    async def _read_picture(self, picture: Picture, timeout_s: float) -> FrameReading:
        if timeout_s < _MIN_TIME_S:
            return FrameReading(Status.TIMEOUT, "out of time")
        grace_s = max(timeout_s * _GRACE_SHARE, min(_MIN_GRACE_S, timeout_s / 2))
        stop_at = time.monotonic() + timeout_s - grace_s
        try:
            return await self._workers.run(read_frame, picture, stop_at, timeout_s=timeout_s)
        except WorkerTimeout as error:
            return FrameReading(Status.TIMEOUT, error.code)
        except WorkerError as error:
            return FrameReading(Status.FAILED, error.code)
        except Exception as error:
            # Its message might hold text of the picture.
            log.error("text could not be read", action="ocr.error", error=type(error).__name__)  # noqa: TRY400
            return FrameReading(Status.FAILED, f"ocr_error {type(error).__name__}")


def _finding(readings: Sequence[tuple[Frame, FrameReading]]) -> TextFinding:
    bad = [(frame, reading) for frame, reading in readings if reading.status is not Status.OK]
    lines = tuple(_lines(readings))
    if not bad:
        return TextFinding(status=Status.OK, lines=lines)
    failed = any(reading.status is Status.FAILED for _, reading in bad)
    reason = "; ".join(f"frame {frame.index}: {reading.reason}" for frame, reading in bad)
    log.warning("text is incomplete", action="ocr.incomplete", frames=len(readings), reason=reason)
    return TextFinding(status=Status.FAILED if failed else Status.TIMEOUT, reason=reason, lines=lines)


def _lines(readings: Sequence[tuple[Frame, FrameReading]]) -> Iterable[TextLine]:
    """All lines, without what an earlier frame already said at about the same place."""
    said: dict[str, list[tuple[int, Box]]] = {}
    for frame, reading in readings:
        for line in reading.lines:
            box = _scaled(line.box, frame.scale)
            earlier = said.setdefault(line.text, [])
            if any(index != frame.index and same_place(box, other) for index, other in earlier):
                continue
            if len(earlier) < _MAX_COMPARED:
                earlier.append((frame.index, box))
            yield TextLine(text=line.text, frame=frame.index, confidence=round(line.confidence, 4), box=box)


def _scaled(box: Box, scale: float) -> Box:
    top_left, top_right, bottom_right, bottom_left = ((round(x * scale, 1), round(y * scale, 1)) for x, y in box)
    return top_left, top_right, bottom_right, bottom_left
