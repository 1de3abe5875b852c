"""QR and bar codes, read by zxing-cpp in the media workers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import unquote

import numpy as np
import structlog

from app.domain import Code, CodesFinding, Frame, Picture, Status
from app.domain.findings import Box
from app.errors import WorkerError, WorkerTimeout
from app.signals.ocr_layout import same_place
from app.workers import Workers

__all__ = ["ZxingReader"]

log = structlog.get_logger(__name__)

#: zxing-cpp stops at so many codes in a picture. It says nothing of it, so reaching the bound counts as a failure.
MAX_CODES = 255

#: More text than this is not matched but counts as a failure: everything is matched in every view, on one core.
MAX_CHARACTERS = 20_000

#: One frame takes 5 to 200 ms; it may take its share of the time, and this much of the others' if theirs is less.
_FRAME_PATIENCE_S = 2.0

_MIN_TIME_S = 0.01


@dataclass(frozen=True, slots=True)
class RawCode:
    """Box in pixels of the frame."""

    kind: str
    payload: str
    box: Box


@dataclass(frozen=True, slots=True)
class _Reading:
    status: Status
    reason: str | None = None
    codes: tuple[RawCode, ...] = ()


class ZxingReader:
    """A `CodeReader`. Frames that look the same are read once; a code that several frames show at one place is given
    once. When a frame could not be read, the finding says so and holds the codes of the others."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._version = f"zxing-cpp {version('zxing-cpp')}"

    @property
    def version(self) -> str:
        return self._version

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding:
        if not frames:
            return CodesFinding(status=Status.FAILED, reason="no frames")
        ends_at = time.monotonic() + timeout_s
        pictures = list({frame.picture: None for frame in frames})
        readings: dict[Picture, _Reading] = {}
        for done, picture in enumerate(pictures):
            left_s = max(0.0, ends_at - time.monotonic())
            share_s = left_s / (len(pictures) - done)
            readings[picture] = await self._read_picture(picture, min(left_s, max(share_s, _FRAME_PATIENCE_S)))
        return _finding([(frame, readings[frame.picture]) for frame in frames])

    async def _read_picture(self, picture: Picture, timeout_s: float) -> _Reading:
        if timeout_s < _MIN_TIME_S:
            return _Reading(Status.TIMEOUT, "out of time")
        try:
            codes = await self._workers.run(read_codes, picture, timeout_s=timeout_s)
        except WorkerTimeout as error:
            return _Reading(Status.TIMEOUT, error.code)
        except WorkerError as error:
            return _Reading(Status.FAILED, error.code)
        except Exception as error:
            # Its message might hold a payload.
            log.error("codes could not be read", action="codes.error", error=type(error).__name__)  # noqa: TRY400
            return _Reading(Status.FAILED, f"codes_error {type(error).__name__}")
        if len(codes) >= MAX_CODES:
            return _Reading(Status.FAILED, f"{MAX_CODES} codes or more", codes)
        return _Reading(Status.OK, None, codes)


def read_codes(picture: Picture) -> tuple[RawCode, ...]:
    """In a media worker: every code in the picture, at most MAX_CODES."""
    import zxingcpp  # noqa: PLC0415 -- only workers load what decodes pictures

    rgb = np.frombuffer(picture.rgb, dtype=np.uint8).reshape(picture.height, picture.width, 3)
    found = zxingcpp.read_barcodes(np.ascontiguousarray(rgb[..., ::-1]), text_mode=zxingcpp.TextMode.Plain)
    return tuple(
        RawCode(
            kind="_".join(str(code.format).lower().replace("-", " ").split()),
            # A payload may be bytes that are no text; what is stored must be.
            payload=code.text.encode("utf-8", "replace").decode(),
            box=(
                (float(code.position.top_left.x), float(code.position.top_left.y)),
                (float(code.position.top_right.x), float(code.position.top_right.y)),
                (float(code.position.bottom_right.x), float(code.position.bottom_right.y)),
                (float(code.position.bottom_left.x), float(code.position.bottom_left.y)),
            ),
        )
        for code in found
        if code.valid
    )


def readable(payload: str) -> str | None:
    """The payload with what web addresses write as percent signs and punycode undone, if it has any."""
    decoded = unquote(payload)
    for label in {part for part in _host(decoded).split(".") if part.lower().startswith("xn--")}:
        try:
            decoded = decoded.replace(label, label.lower().removeprefix("xn--").encode("ascii").decode("punycode"))
        except UnicodeError:
            continue
    return None if decoded == payload else decoded


def _host(address: str) -> str:
    _, _, after = address.partition("://")
    return after.partition("/")[0].rpartition("@")[2].partition(":")[0]


def _finding(readings: Sequence[tuple[Frame, _Reading]]) -> CodesFinding:
    codes, all_kept = _kept(readings)
    bad = [(frame, reading) for frame, reading in readings if reading.status is not Status.OK]
    reasons = [f"frame {frame.index}: {reading.reason}" for frame, reading in bad]
    if not all_kept:
        reasons.append(f"more than {MAX_CHARACTERS} characters")
    if not reasons:
        return CodesFinding(status=Status.OK, reason=None, codes=codes)
    failed = not all_kept or any(reading.status is Status.FAILED for _, reading in bad)
    reason = "; ".join(reasons)
    log.warning("codes are incomplete", action="codes.incomplete", frames=len(readings), reason=reason)
    return CodesFinding(status=Status.FAILED if failed else Status.TIMEOUT, reason=reason, codes=codes)


def _kept(readings: Sequence[tuple[Frame, _Reading]]) -> tuple[tuple[Code, ...], bool]:
    """Each code once, as long as there is room, and whether that was all."""
    codes: list[Code] = []
    characters = 0
    for frame, reading in readings:
        for raw in reading.codes:
            code = _code(raw, frame)
            if any(_same(code, earlier) for earlier in codes):
                continue
            characters += len(code.payload) + len(code.readable or "")
            if characters > MAX_CHARACTERS:
                return tuple(codes), False
            codes.append(code)
    return tuple(codes), True


def _code(raw: RawCode, frame: Frame) -> Code:
    top_left, top_right, bottom_right, bottom_left = (
        (round(x * frame.scale, 1), round(y * frame.scale, 1)) for x, y in raw.box
    )
    return Code(
        kind=raw.kind,
        payload=raw.payload,
        readable=readable(raw.payload),
        frame=frame.index,
        box=(top_left, top_right, bottom_right, bottom_left),
    )


def _same(one: Code, other: Code) -> bool:
    if (one.kind, one.payload) != (other.kind, other.payload) or one.frame == other.frame:
        return False
    return one.box is not None and other.box is not None and same_place(one.box, other.box)
