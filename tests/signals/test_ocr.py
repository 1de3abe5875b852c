"""RapidOCR in real workers on real renders, and the reader with workers that fail."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from app.domain import Backdrop, Frame, Picture, Status, TextFinding
from app.errors import WorkerCrashed, WorkerTimeout
from app.media_pool import MediaPool
from app.signals.base import TextReader
from app.signals.ocr import RapidOcrReader, load_ocr
from app.signals.ocr_worker import FrameReading, RawLine, _batches

#: Generous: it must never decide a test.
PATIENCE_S = 120.0


def render(
    size: tuple[int, int], *lines: tuple[int, int, str], font: Any = None, ink: Any = 0, ground: Any = 255
) -> Image.Image:
    image = Image.new("L", size, ground)
    draw = ImageDraw.Draw(image)
    for x, y, text in lines:
        draw.text((x, y), text, fill=ink, font=font or ImageFont.load_default(28))
    return image


def as_frame(image: Image.Image, index: int = 0, scale: float = 1.0) -> Frame:
    rgb = image.convert("RGB")
    return Frame(index, index, Backdrop.NONE, scale, Picture(rgb.width, rgb.height, rgb.tobytes()))


def squeezed(finding: TextFinding) -> list[str]:
    """Without spaces, which OCR sees or misses at will."""
    return [re.sub(r"\s+", "", line.text) for line in finding.lines]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[MediaPool]:
    pool = MediaPool(1, memory_mb=3072, warm_up=[load_ocr])
    await pool.start()
    yield pool
    await pool.aclose()


@pytest.fixture(scope="module")
def reader(pool: MediaPool) -> TextReader:
    return RapidOcrReader(pool)


class TestReading:
    async def test_the_networks_do_not_crawl_through_denormal_numbers(self, pool: MediaPool) -> None:
        assert await pool.run(_smallest_product, timeout_s=PATIENCE_S) == 0.0

    async def test_a_page_of_a_book(self, reader: TextReader) -> None:
        finding = await reader.read([as_frame(Image.fromarray(skimage.data.page()))], timeout_s=PATIENCE_S)
        assert finding.status is Status.OK
        assert finding.lines[0].text == "Region-based segmentation"
        text = "".join(squeezed(finding))
        assert "Letusfirstdeterminemarkersofthecoinsandthe" in text
        assert "histogramofgreyvalues" in text

    async def test_chinese(self, reader: TextReader, cjk_font: Path) -> None:
        font = ImageFont.truetype(str(cjk_font), 32)
        image = render(
            (400, 120),
            (
                20,
                30,
                "加微信领取奖金",
            ),
            font=font,
        )
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == ["加微信领取奖金"]

    async def test_no_text_is_an_answer(self, reader: TextReader) -> None:
        for image in (Image.new("RGB", (200, 100), "white"), Image.fromarray(skimage.data.coins()[:64, :64])):
            assert await reader.read([as_frame(image)], timeout_s=PATIENCE_S) == TextFinding(status=Status.OK)

    @pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (20, 1790), (2400, 4)])
    async def test_any_shape_of_picture(self, reader: TextReader, size: tuple[int, int]) -> None:
        levels = np.arange(size[0] * size[1], dtype=np.int64).reshape(size[1], size[0]) % 251
        finding = await reader.read([as_frame(Image.fromarray(levels.astype(np.uint8)))], timeout_s=PATIENCE_S)
        assert finding.status is Status.OK

    async def test_boxes_are_in_pixels_of_the_upload(self, reader: TextReader) -> None:
        image = render((400, 200), (100, 80, "hello"))
        finding = await reader.read([as_frame(image, scale=2.5)], timeout_s=PATIENCE_S)
        (line,) = finding.lines
        assert line.confidence is not None
        assert line.confidence > 0.9
        assert line.box is not None
        left, top = line.box[0]
        right, bottom = line.box[2]
        assert 225 < left < 265
        assert 185 < top < 235
        assert 400 < right < 460
        assert 250 < bottom < 310

    async def test_lines_in_reading_order(self, reader: TextReader) -> None:
        image = render((500, 200), (300, 100, "delta"), (20, 20, "alpha"), (300, 20, "bravo"), (20, 100, "charlie"))
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == ["alpha", "bravo", "charlie", "delta"]

    async def test_text_that_eyes_hardly_see(self, reader: TextReader) -> None:
        image = render((400, 100), (20, 30, "nearly invisible"), ink=208, ground=200)
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == ["nearlyinvisible"]

    async def test_a_black_word_does_not_hide_a_faint_one(self, reader: TextReader) -> None:
        image = render((600, 300), (20, 20, "heading"))
        ImageDraw.Draw(image).text((220, 200), "nearly invisible", fill=247, font=ImageFont.load_default(28))
        finding = await reader.read([as_frame(image, scale=2)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == ["heading", "nearlyinvisible"]
        assert finding.lines[1].box is not None
        left, top = finding.lines[1].box[0]
        assert 420 < left < 460
        assert 390 < top < 430

    async def test_specks_do_not_hide_words(self, reader: TextReader) -> None:
        """RapidOCR by itself gives up after its first thousand candidates, and starts at the bottom."""
        specks = [(x, y, "o") for y in range(80, 1280, 24) for x in range(4, 1280, 30)]
        image = render((1280, 1280), *specks, font=ImageFont.load_default(12))
        ImageDraw.Draw(image).text((20, 20), "forbidden words", fill=0, font=ImageFont.load_default(30))
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert "forbiddenwords" in squeezed(finding)

    async def test_a_long_screenshot_has_each_line_once(self, reader: TextReader) -> None:
        lines = [f"message {number}" for number in range(24)]
        image = render((360, 2600), *((20, 30 + 108 * row, text) for row, text in enumerate(lines)))
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == [text.replace(" ", "") for text in lines]

    async def test_a_line_across_a_seam_is_whole(self, reader: TextReader) -> None:
        text = "the quick brown fox jumps over the lazy dog and goes on to meet the others at the river in the evening"
        image = render((2600, 90), (20, 30, text), font=ImageFont.load_default(44))
        assert ImageFont.load_default(44).getlength(text) > 1900
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == [text.replace(" ", "")]

    async def test_text_on_several_frames_is_given_once(self, reader: TextReader) -> None:
        white, black = (
            render((300, 100), (20, 30, "caption")),
            render((300, 100), (20, 30, "caption"), ink=255, ground=0),
        )
        moved = render((300, 300), (20, 230, "caption"))
        finding = await reader.read([as_frame(white, 0), as_frame(black, 1), as_frame(moved, 2)], timeout_s=PATIENCE_S)
        assert [(line.text, line.frame) for line in finding.lines] == [("caption", 0), ("caption", 2)]

    async def test_out_of_time_is_no_silence(self, reader: TextReader) -> None:
        image = render((600, 2600), *((20, 20 + 60 * row, "many words on this line") for row in range(42)))
        finding = await reader.read([as_frame(image)], timeout_s=0.4)
        assert finding.status is Status.TIMEOUT
        assert finding.reason is not None
        assert len(finding.lines) < 42

    async def test_noise_says_nothing(self, reader: TextReader) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (700, 700, 3), dtype=np.uint8)
        assert await reader.read([as_frame(Image.fromarray(noise))], timeout_s=PATIENCE_S) == TextFinding(
            status=Status.OK
        )

    async def test_ten_thousand_words_end_in_time_and_say_that_there_were_more(self, reader: TextReader) -> None:
        rows = [(2, y, " ".join(f"word{(7 * y + x) % 997}" for x in range(50))) for y in range(0, 3000, 15)]
        image = render((2000, 3000), *rows, font=ImageFont.load_default(11))
        finding = await reader.read([as_frame(image)], timeout_s=2.0)
        assert finding.status is Status.TIMEOUT
        assert len(finding.lines) < len(rows)

    async def test_one_huge_glyph(self, reader: TextReader, cjk_font: Path) -> None:
        image = render((900, 900), (50, -120, "毒"), font=ImageFont.truetype(str(cjk_font), 800))
        assert (await reader.read([as_frame(image)], timeout_s=PATIENCE_S)).status is Status.OK

    async def test_vertical_chinese(self, reader: TextReader, cjk_font: Path) -> None:
        columns = ("今天早上天气很好", "加微信领取奖金", "这里没有别的东西")
        glyphs = [
            (300 - 90 * column, 30 + 43 * row, character)
            for column, text in enumerate(columns)
            for row, character in enumerate(text)
        ]
        image = render((400, 420), *glyphs, font=ImageFont.truetype(str(cjk_font), 40))
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert squeezed(finding) == list(columns)

    async def test_a_worker_killed_in_the_middle_costs_one_reading(self, pool: MediaPool, reader: TextReader) -> None:
        image = render((600, 2600), *((20, 20 + 60 * row, "many words on this line") for row in range(42)))
        worker = await pool.run(os.getpid, timeout_s=PATIENCE_S)
        reading = asyncio.create_task(reader.read([as_frame(image)], timeout_s=PATIENCE_S))
        await asyncio.sleep(0.2)
        os.kill(worker, signal.SIGKILL)
        finding = await reading
        assert (finding.status, finding.reason) == (Status.FAILED, "frame 0: worker_crash")
        after = await reader.read([as_frame(render((300, 80), (20, 20, "hello")))], timeout_s=PATIENCE_S)
        assert squeezed(after) == ["hello"]

    async def test_a_fault_inside_rapidocr_is_a_failure_not_silence(self, pool: MediaPool, reader: TextReader) -> None:
        await pool.run(_break_recognition, timeout_s=PATIENCE_S)
        try:
            finding = await reader.read([as_frame(render((300, 80), (20, 20, "hello")))], timeout_s=PATIENCE_S)
        finally:
            os.kill(await pool.run(os.getpid, timeout_s=PATIENCE_S), signal.SIGKILL)
        assert finding.status is Status.FAILED
        assert finding.reason is not None
        assert "ocr_error" in finding.reason

    async def test_the_version_is_pinned_and_the_networks_stay_in_the_workers(self, reader: TextReader) -> None:
        assert re.fullmatch(r"rapidocr \d+\.\d+\.\d+", reader.version)


@given(st.lists(st.floats(0.1, 400), max_size=40))
def test_batches_hold_each_line_once_and_are_soon_done(ratios: list[float]) -> None:
    batches = list(_batches(ratios))
    assert sorted(index for batch in batches for index in batch) == list(range(len(ratios)))
    for batch in batches:
        assert 1 <= len(batch) <= 6
        assert len(batch) == 1 or len(batch) * max(ratios[index] for index in batch) <= 80


def _smallest_product() -> float:
    """In a worker: half of the smallest normal number, which takes a denormal one to write down."""
    return float(np.full(64, np.finfo(np.float32).tiny) @ np.eye(64, dtype=np.float32)[0] * np.float32(0.5))


def _break_recognition() -> None:
    """In a worker: every recognition fails inside onnxruntime."""
    from app.signals import ocr_worker  # noqa: PLC0415

    def fail(*_: object) -> None:
        raise RuntimeError("onnxruntime")

    ocr_worker._rapidocr().text_rec.session.session = type(
        "Broken", (), {"run": fail, "get_inputs": list, "get_outputs": list}
    )()


class ScriptedWorkers:
    """Ends each frame's reading as told, by the picture's width."""

    def __init__(self, ends: dict[int, FrameReading | Exception]) -> None:
        self.ends = ends
        self.asked: list[int] = []
        self.timeouts_s: list[float] = []

    async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        picture: Picture = args[0]
        self.asked.append(picture.width)
        self.timeouts_s.append(timeout_s)
        end = self.ends[picture.width]
        if isinstance(end, Exception):
            raise end
        return end


def said(*texts: str, status: Status = Status.OK, reason: str | None = None) -> FrameReading:
    lines = [
        RawLine(text, 0.9, ((0, 20.0 * row), (50, 20.0 * row), (50, 20.0 * row + 15), (0, 20.0 * row + 15)))
        for row, text in enumerate(texts)
    ]
    return FrameReading(status, reason, tuple(lines))


def blank(width: int, index: int) -> Frame:
    return as_frame(Image.new("L", (width, 10)), index)


class TestFailures:
    @pytest.mark.parametrize(
        ("end", "status", "reason"),
        [
            (WorkerTimeout("x"), Status.TIMEOUT, "frame 1: worker_timeout"),
            (WorkerCrashed("x"), Status.FAILED, "frame 1: worker_crash"),
            (RuntimeError("words of the picture"), Status.FAILED, "frame 1: ocr_error RuntimeError"),
            (said("part", status=Status.TIMEOUT, reason="out of time"), Status.TIMEOUT, "frame 1: out of time"),
        ],
    )
    async def test_one_bad_frame_is_named_and_the_others_are_kept(
        self, end: FrameReading | Exception, status: Status, reason: str
    ) -> None:
        workers = ScriptedWorkers({10: said("first"), 11: end, 12: said("third")})
        finding = await RapidOcrReader(workers).read([blank(10, 0), blank(11, 1), blank(12, 2)], timeout_s=5)
        assert (finding.status, finding.reason) == (status, reason)
        texts = [line.text for line in finding.lines]
        assert texts[0] == "first"
        assert texts[-1] == "third"
        assert ("part" in texts) == isinstance(end, FrameReading)

    async def test_failure_outranks_timeout(self) -> None:
        workers = ScriptedWorkers({10: WorkerTimeout("x"), 11: WorkerCrashed("x")})
        finding = await RapidOcrReader(workers).read([blank(10, 0), blank(11, 1)], timeout_s=5)
        assert finding.status is Status.FAILED
        assert finding.reason == "frame 0: worker_timeout; frame 1: worker_crash"

    async def test_no_time_at_all_is_a_timeout_without_a_call(self) -> None:
        workers = ScriptedWorkers({10: said("x")})
        finding = await RapidOcrReader(workers).read([blank(10, 0)], timeout_s=0)
        assert finding.status is Status.TIMEOUT
        assert workers.asked == []

    async def test_frames_that_look_the_same_are_read_once(self) -> None:
        workers = ScriptedWorkers({10: said("x", "y")})
        finding = await RapidOcrReader(workers).read([blank(10, 0), blank(10, 1), blank(10, 2)], timeout_s=5)
        assert workers.asked == [10]
        assert [(line.text, line.frame) for line in finding.lines] == [("x", 0), ("y", 0)]

    async def test_every_frame_gets_its_share_of_the_time(self) -> None:
        workers = ScriptedWorkers({width: said() for width in range(10, 18)})
        await RapidOcrReader(workers).read([blank(width, width - 10) for width in range(10, 18)], timeout_s=800)
        assert workers.timeouts_s[0] == pytest.approx(200, abs=50)
        assert workers.timeouts_s[-1] == pytest.approx(800, abs=100)
        assert max(workers.timeouts_s) <= 800

    async def test_repeated_text_within_one_frame_is_kept(self) -> None:
        workers = ScriptedWorkers({10: said("again", "again")})
        finding = await RapidOcrReader(workers).read([blank(10, 0)], timeout_s=5)
        assert [line.text for line in finding.lines] == ["again", "again"]

    async def test_a_picture_tiled_with_one_word_keeps_every_one(self) -> None:
        workers = ScriptedWorkers({10: said(*["same"] * 200), 11: said(*["same"] * 200)})
        finding = await RapidOcrReader(workers).read([blank(10, 0), blank(11, 1)], timeout_s=5)
        assert len(finding.lines) >= 200

    async def test_nothing_to_look_at_is_not_no_text(self) -> None:
        assert (await RapidOcrReader(ScriptedWorkers({})).read([], timeout_s=5)).status is Status.FAILED

    async def test_cancelling_is_not_swallowed(self) -> None:
        class Stuck:
            async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
                await asyncio.Event().wait()

        reading = asyncio.create_task(RapidOcrReader(Stuck()).read([blank(10, 0)], timeout_s=60))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
