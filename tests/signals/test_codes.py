"""zxing-cpp on real codes, and the reader with workers that fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.domain import Backdrop, Code, CodesFinding, Frame, Picture, Status, TextSource
from app.errors import WorkerCrashed, WorkerTimeout
from app.media_inline import InlineWorkers
from app.signals.base import CodeReader
from app.signals.codes import MAX_CHARACTERS, MAX_CODES, RawCode, ZxingReader, readable
from app.signals.keywords import AhoCorasickMatcher
from tests.signals.keyword_support import keyword_list

#: Generous: it must never decide a test.
PATIENCE_S = 60.0

BOX = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0), (1.0, 9.0))


def code(payload: str, *, kind: str = "QRCode", scale: int = 4) -> Image.Image:
    symbology = getattr(zxingcpp.BarcodeFormat, kind)
    return Image.fromarray(np.array(zxingcpp.create_barcode(payload, symbology).to_image(scale=scale)))


def page(*codes: tuple[Image.Image, tuple[int, int]], size: tuple[int, int] = (800, 600)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    for one, at in codes:
        image.paste(one, at)
    return image


def as_frame(image: Image.Image, index: int = 0, scale: float = 1.0) -> Frame:
    rgb = image.convert("RGB")
    return Frame(index, index, Backdrop.NONE, scale, Picture(rgb.width, rgb.height, rgb.tobytes()))


@pytest.fixture
def reader() -> CodeReader:
    return ZxingReader(InlineWorkers())


class TestReading:
    @pytest.mark.parametrize(
        ("symbology", "payload", "kind"),
        [
            ("QRCode", "https://t.me/joinchat/加微信", "qr_code"),
            ("DataMatrix", "fake passport", "data_matrix"),
            ("Aztec", "buy guns", "aztec"),
            ("PDF417", "a word and another", "pdf417"),
            ("EAN13", "4006381333931", "ean_13"),
            ("Code128", "VX-12345", "code_128"),
        ],
    )
    async def test_kind_and_payload(self, reader: CodeReader, symbology: str, payload: str, kind: str) -> None:
        finding = await reader.read([as_frame(page((code(payload, kind=symbology), (100, 60))))], timeout_s=PATIENCE_S)
        assert finding.status is Status.OK
        assert [(one.payload, one.kind) for one in finding.codes] == [(payload, kind)]

    async def test_boxes_are_in_pixels_of_the_upload(self, reader: CodeReader) -> None:
        image = page((code("hello", scale=10), (200, 100)))
        (found,) = (await reader.read([as_frame(image, scale=2.5)], timeout_s=PATIENCE_S)).codes
        assert found.box is not None
        for (x, y), (expected_x, expected_y) in zip(
            found.box, ((600, 350), (1125, 350), (1125, 875), (600, 875)), strict=True
        ):
            assert abs(x - expected_x) < 20
            assert abs(y - expected_y) < 20

    @pytest.mark.parametrize("angle", [0, 30, 90, 180, 250])
    @pytest.mark.parametrize("inverted", [False, True])
    async def test_turned_and_inverted(self, reader: CodeReader, angle: int, inverted: bool) -> None:
        image = page((code("hello", scale=6), (200, 200)), size=(600, 600)).rotate(angle, fillcolor="white")
        if inverted:
            image = Image.eval(image, lambda level: 255 - level)
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert [one.payload for one in finding.codes] == ["hello"]

    async def test_several_codes(self, reader: CodeReader) -> None:
        image = page(
            (code("one"), (20, 20)), (code("two"), (400, 300)), (code("4006381333931", kind="EAN13"), (20, 400))
        )
        finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
        assert {one.payload for one in finding.codes} == {"one", "two", "4006381333931"}

    async def test_no_code_is_an_answer(self, reader: CodeReader) -> None:
        for image in (Image.new("RGB", (1, 1)), Image.fromarray(skimage.data.coffee()), Image.new("RGB", (300, 9))):
            finding = await reader.read([as_frame(image)], timeout_s=PATIENCE_S)
            assert finding == CodesFinding(status=Status.OK, reason=None)

    async def test_more_codes_than_are_counted_is_not_all_codes(self, reader: CodeReader) -> None:
        one = np.array(zxingcpp.create_barcode("x", zxingcpp.BarcodeFormat.QRCode).to_image(scale=2))
        finding = await reader.read([as_frame(Image.fromarray(np.tile(one, (20, 20))))], timeout_s=PATIENCE_S)
        assert (finding.status, finding.reason) == (Status.FAILED, f"frame 0: {MAX_CODES} codes or more")
        assert len(finding.codes) == MAX_CODES

    async def test_listed_terms_are_found_in_payloads_and_behind_percent_signs(self, reader: CodeReader) -> None:
        image = page(
            (code("https://shop.test/?q=%E5%81%87%E6%8A%A4%E7%85%A7"), (20, 20)), (code("fake\npassport"), (400, 300))
        )
        text = (await reader.read([as_frame(image)], timeout_s=PATIENCE_S)).as_text
        finding = AhoCorasickMatcher().match(
            [keyword_list("假护照", "fake passport", sources=frozenset({TextSource.QR}))], {TextSource.QR: text}
        )
        assert {match.term for match in finding.matches} == {"假护照", "fake passport"}
        assert all(match.box is not None for match in finding.matches)

    def test_the_version_is_pinned(self, reader: CodeReader) -> None:
        assert reader.version.startswith("zxing-cpp 3.")


class ScriptedWorkers:
    """Ends each picture's reading as told, by its width."""

    def __init__(self, ends: dict[int, tuple[RawCode, ...] | Exception]) -> None:
        self.ends = ends
        self.asked: list[int] = []

    async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        picture: Picture = args[0]
        self.asked.append(picture.width)
        end = self.ends[picture.width]
        if isinstance(end, Exception):
            raise end
        return end


def blank(width: int, index: int) -> Frame:
    return as_frame(Image.new("RGB", (width, 10)), index)


SEEN = (RawCode("qr_code", "x", BOX),)


class TestFrames:
    @pytest.mark.parametrize(
        ("fault", "status", "reason"),
        [
            (WorkerTimeout("late"), Status.TIMEOUT, "frame 1: worker_timeout"),
            (WorkerCrashed("gone"), Status.FAILED, "frame 1: worker_crash"),
            (ValueError("a payload"), Status.FAILED, "frame 1: codes_error ValueError"),
        ],
    )
    async def test_a_fault_is_no_silence(self, fault: Exception, status: Status, reason: str) -> None:
        reader = ZxingReader(ScriptedWorkers({10: SEEN, 11: fault}))
        finding = await reader.read([blank(10, 0), blank(11, 1)], timeout_s=5)
        assert (finding.status, finding.reason) == (status, reason)
        assert [one.payload for one in finding.codes] == ["x"]

    async def test_no_time_at_all_is_a_timeout_without_a_call(self) -> None:
        workers = ScriptedWorkers({10: SEEN})
        assert (await ZxingReader(workers).read([blank(10, 0)], timeout_s=0)).status is Status.TIMEOUT
        assert workers.asked == []

    async def test_no_frames_is_not_no_codes(self) -> None:
        assert (await ZxingReader(ScriptedWorkers({})).read([], timeout_s=5)).status is Status.FAILED

    async def test_what_frames_share_is_given_once(self) -> None:
        moved = (RawCode("qr_code", "x", tuple((x + 50, y) for x, y in BOX)),)  # type: ignore[arg-type]
        workers = ScriptedWorkers({10: SEEN, 11: SEEN, 12: moved})
        frames = [blank(10, 0), blank(10, 1), blank(11, 2), blank(12, 3)]
        finding = await ZxingReader(workers).read(frames, timeout_s=5)
        assert workers.asked == [10, 11, 12]
        assert [one.frame for one in finding.codes] == [0, 3]

    async def test_more_text_than_is_matched_is_not_all_text(self) -> None:
        long = tuple(RawCode("qr_code", f"{number}" * 4000, BOX) for number in range(8))
        finding = await ZxingReader(ScriptedWorkers({10: long})).read([blank(10, 0)], timeout_s=5)
        assert (finding.status, finding.reason) == (Status.FAILED, f"more than {MAX_CHARACTERS} characters")
        assert 0 < sum(len(one.payload) for one in finding.codes) <= MAX_CHARACTERS


class TestReadable:
    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            ("https://a.test/%E5%BE%AE%E4%BF%A1", "https://a.test/微信"),
            ("https://xn--fiq228c.test/x", "https://中文.test/x"),
            ("http://u:p@XN--fiq228c.test:80/", "http://u:p@中文.test:80/"),
            ("https://xn--\x80.test/", None),
            ("plain words", None),
            ("100% sure", None),
        ],
    )
    def test_what_addresses_hide(self, payload: str, expected: str | None) -> None:
        assert readable(payload) == expected

    @given(st.text())
    def test_any_payload(self, payload: str) -> None:
        said = readable(payload)
        assert said is None or said != payload
        Code(kind="qr_code", payload="x", readable=said).model_dump_json()
