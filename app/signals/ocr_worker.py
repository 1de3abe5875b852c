"""RapidOCR as it runs inside a media worker: one instance a process, one thread, no network.

RapidOCR's own `__call__` turns its internal failures and "no text" into the same empty result, so its steps are called
one by one: detection that finds nothing is an answer, everything else that goes wrong is a failure.
"""

import functools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from app.domain import Picture, Status
from app.domain.findings import Box
from app.signals.ocr_faint import FLAT_SPAN, make_plain
from app.signals.ocr_layout import Quad, is_vertical, reading_order, same_place, tile_spans
from app.signals.ocr_seams import join_seams

Pixels = npt.NDArray[np.uint8]

#: Longest side that detection looks at, and part by which a picture may exceed it (and be scaled down) untiled.
_TILE_PX = 1280
_TILE_STRETCH = 1.4

#: Text lines up to this height are whole in at least one tile.
_TILE_OVERLAP_PX = 160

#: Detection wants sides of at least half of 32 px after scaling, and says "nothing" of smaller ones without looking.
_MIN_SIDE_PX = 64

#: Pictures whose levels span less than this (of 255) are stretched: text at a contrast of 8 is not found otherwise.
_LOW_CONTRAST_SPAN = 64

#: Pictures whose longer side is below this are enlarged, at most so many times. Without, a third of the lines of a
#: scanned page of 384×191 px is lost; detection costs by the pixel, so not more than this.
_SMALL_PX = 800
_MAX_ZOOM = 2.0

#: RapidOCR silently drops what it finds beyond its bound of 1000, so that specks could hide words. Time is the bound
#: here, and running out of it shows.
_MAX_CANDIDATES = 1_000_000

#: Lines recognised between two looks at the clock: RapidOCR's own batch, and together at most so many times as long
#: as high, a longer one by itself. Six lines across a page of small print would take seconds and a gigabyte.
_BATCH_LINES = 6
_BATCH_RATIO = 80.0

_ORIENTATION_MODEL = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"

#: RapidOCR's own bound; below it, photographs without text yield letters.
_MIN_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class RawLine:
    """Box in pixels of the frame."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class FrameReading:
    """What one frame says, in reading order; with a status that is not ok, the lines are what was read until then."""

    status: Status
    reason: str | None = None
    lines: tuple[RawLine, ...] = ()


class _OutOfTimeError(Exception):
    """`stop_at` has passed."""


def load_ocr() -> None:
    """Warm-up: load the networks, and let them run once."""
    blank = np.full((_MIN_SIDE_PX, 4 * _MIN_SIDE_PX, 3), 255, dtype=np.uint8)
    blank[24:40, 32:224:4] = 0
    _detect(blank)
    _recognise([blank])


def read_frame(picture: Picture, stop_at: float) -> FrameReading:
    """The text in a picture. Stops at `stop_at` (on `time.monotonic()`'s clock, which all processes share) with what
    it has, status timeout."""
    lines: list[RawLine] = []
    try:
        pixels, zoom = _prepared(picture)
        _read(pixels, zoom, stop_at, lines)
        faint = make_plain(pixels)
        if faint is not None:
            _read(faint.pixels, zoom, stop_at, lines, corner=(faint.left, faint.top), known=tuple(lines), peek=True)
    except _OutOfTimeError:
        return FrameReading(Status.TIMEOUT, "out of time", _ordered(lines))
    except MemoryError:
        raise
    except Exception as error:
        return FrameReading(Status.FAILED, f"ocr_error {type(error).__name__}", _ordered(lines))
    return FrameReading(Status.OK, None, _ordered(lines))


def _read(
    pixels: Pixels,
    zoom: float,
    stop_at: float,
    lines: list[RawLine],
    *,
    corner: tuple[int, int] = (0, 0),
    known: tuple[RawLine, ...] = (),
    peek: bool = False,
) -> None:
    """Fills `lines` from the top down. Of two readings of one place, this one and one of the `known` lines, the longer
    stays. `corner` is where `pixels` begin in the prepared picture. Raises _OutOfTimeError."""
    offset = np.array(corner, dtype=np.float32)
    tall = pixels.shape[0] >= pixels.shape[1]
    for quads in join_seams(_detect_tiles(pixels, stop_at, tall=tall, peek=peek), tall=tall):
        for quad, text, confidence in _read_lines(pixels, quads, stop_at):
            if not math.isfinite(confidence):
                raise ArithmeticError("a confidence is not finite")
            if text.strip() and confidence >= _MIN_CONFIDENCE:
                _add(RawLine(text, confidence, _as_box((quad + offset) / zoom)), lines, known)


def _add(line: RawLine, lines: list[RawLine], known: tuple[RawLine, ...]) -> None:
    here = [one for one in known if same_place(line.box, one.box)]
    if here and sum(len(one.text) for one in here) >= len(line.text):
        return
    lines[:] = [one for one in lines if not (one in here and one.text in line.text)]
    lines.append(line)


def _detect_tiles(pixels: Pixels, stop_at: float, *, tall: bool, peek: bool) -> Iterator[tuple[float, list[Quad]]]:
    """For each tile where the next one begins, and its text boxes in the whole picture's pixels. With `peek`, tiles
    that show no text at half their size are left out."""
    length = max(pixels.shape[:2])
    spans = tile_spans(length, tile=_TILE_PX, overlap=_TILE_OVERLAP_PX, stretch=_TILE_STRETCH)
    next_starts = [*(start for start, _ in spans[1:]), length]
    for (start, end), next_start in zip(spans, next_starts, strict=True):
        _check_time(stop_at)
        tile = pixels[start:end] if tall else pixels[:, start:end]
        offset = np.array([0, start] if tall else [start, 0], dtype=np.float32)
        quads = [] if peek and not _any_text(tile) else _detect(np.ascontiguousarray(tile))
        yield next_start, [quad + offset for quad in quads]


def _read_lines(pixels: Pixels, quads: list[Quad], stop_at: float) -> Iterator[tuple[Quad, str, float]]:
    """Each box with its text and confidence; batch by batch, so lines of about the same shape come together: a batch
    is padded to its widest."""
    crops = _rapidocr().crop_text_regions(pixels, np.array(quads, dtype=np.float32)) if quads else []
    for batch in _batches([crop.shape[1] / crop.shape[0] for crop in crops]):
        _check_time(stop_at)
        for index, (text, confidence) in zip(batch, _recognise([crops[i] for i in batch]), strict=True):
            yield quads[index], text, confidence


def _batches(ratios: Sequence[float]) -> Iterator[list[int]]:
    """The indexes of lines by their ratios of length to height, each once, so that a batch is soon recognised."""
    batch: list[int] = []
    for index in sorted(range(len(ratios)), key=lambda index: ratios[index]):
        if batch and (len(batch) == _BATCH_LINES or (len(batch) + 1) * ratios[index] > _BATCH_RATIO):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _check_time(stop_at: float) -> None:
    if time.monotonic() > stop_at:
        raise _OutOfTimeError


def _detect(pixels: Pixels) -> list[Quad]:
    from rapidocr.main import RapidOCRError  # noqa: PLC0415 -- only workers load the networks' library

    if int(pixels.max()) - int(pixels.min()) < FLAT_SPAN:
        return []
    height, width = pixels.shape[:2]
    padded = np.pad(
        pixels, ((0, max(0, _MIN_SIDE_PX - height)), (0, max(0, _MIN_SIDE_PX - width)), (0, 0)), mode="edge"
    )
    record: dict[str, Any] = {}
    try:
        _, found = _rapidocr().detect_and_crop(padded, record)
    except RapidOCRError:
        return []
    padding = np.array([record["padding_1"]["left"], record["padding_1"]["top"]], dtype=np.float32)
    corner = np.array([width, height], dtype=np.float32)
    return [np.clip(quad - padding, 0, corner).astype(np.float32) for quad in found.boxes]


def _any_text(pixels: Pixels) -> bool:
    """Whether a look at half the size, which costs a quarter, finds text. Enough on even ground, where writing of 9 px
    is found so; on photographs it is not."""
    half = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
    return bool(_detect(np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)))


def _recognise(crops: list[Pixels]) -> list[tuple[str, float]]:
    upright, _ = _rapidocr().cls_and_rotate(crops)
    found = _rapidocr().recognize_txt(upright)
    return [(str(text), float(score)) for text, score in zip(found.txts, found.scores, strict=True)]


def _prepared(picture: Picture) -> tuple[Pixels, float]:
    """BGR, as the networks were trained, stretched over all levels if the picture uses few, enlarged if it is small;
    and by how much."""
    rgb = np.frombuffer(picture.rgb, dtype=np.uint8).reshape(picture.height, picture.width, 3)
    lowest, highest = int(rgb.min()), int(rgb.max())
    if FLAT_SPAN <= highest - lowest < _LOW_CONTRAST_SPAN:
        levels = np.clip((np.arange(256) - lowest) * 255.0 / (highest - lowest), 0, 255).astype(np.uint8)
        rgb = levels[rgb]
    image = Pil.fromarray(np.ascontiguousarray(rgb[..., ::-1]))
    zoom = min(_MAX_ZOOM, _SMALL_PX / max(image.size))
    if zoom <= 1:
        return np.asarray(image), 1.0
    size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
    return np.asarray(image.resize(size, Pil.Resampling.LANCZOS)), max(size) / max(image.size)


def _ordered(lines: list[RawLine]) -> tuple[RawLine, ...]:
    return tuple(reading_order(lines, lambda line: line.box, lambda line: is_vertical(line.text, line.box)))


def _as_box(quad: Quad) -> Box:
    top_left, top_right, bottom_right, bottom_left = ((float(x), float(y)) for x, y in quad)
    return top_left, top_right, bottom_right, bottom_left


@functools.cache
def _rapidocr() -> Any:
    import rapidocr  # noqa: PLC0415 -- as above

    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    cv2.setNumThreads(1)
    models = Path(rapidocr.__file__).parent / "models"
    _flush_denormals(models / _ORIENTATION_MODEL)
    # Parameters given to a call would stick to the instance; a model named by path is never downloaded.
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Cls.model_path": str(models / _ORIENTATION_MODEL),
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            "Det.limit_type": "max",
            "Det.limit_side_len": _TILE_PX,
            "Det.max_candidates": _MAX_CANDIDATES,
            "Rec.rec_batch_num": _BATCH_LINES,
        }
    )


def _flush_denormals(model: Path) -> None:
    """Two layers of the detection network have weights so small that a CPU falls back to microcode for them: they
    take two thirds of its time. onnxruntime sets a process's main thread to treat such numbers as zero when the first
    session asks for it, and only then."""
    import onnxruntime  # noqa: PLC0415 -- as above

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
