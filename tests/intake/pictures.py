"""Real files for the tests, made on the spot."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.domain import Frame
from app.domain import Image as Decoded
from app.intake.limits import IntakeLimits
from app.intake.reader import decode_picture
from app.intake.sniff import sniff

SHA256 = "ab" * 32
SEED = b"a seed"


def decode(data: bytes, *, seed: bytes = SEED, **limits: Any) -> Decoded:
    """As a media worker does it, in this process."""
    return decode_picture(data, sniff(data), SHA256, seed, IntakeLimits(**limits))


def pixels(frame: Frame) -> np.ndarray:
    picture = frame.picture
    return np.frombuffer(picture.rgb, dtype=np.uint8).reshape(picture.height, picture.width, 3)


def encode(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    return out.getvalue()


def animation(frames: Sequence[Image.Image], picture_format: str, **options: Any) -> bytes:
    return encode(frames[0], picture_format, save_all=True, append_images=frames[1:], **options)


def plain(size: tuple[int, int] = (64, 48), colour: Any = (200, 30, 30), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def scene(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Something with structure: a gradient, shapes, a word."""
    width, height = size
    across = np.linspace(0, 255, width)[None, :].repeat(height, axis=0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, axis=1)
    image = Image.fromarray(np.dstack([across, down, 255 - across]).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 8, height // 8, width // 2, height // 2), fill=(20, 60, 90))
    draw.text((width // 3, height // 2), "a word", fill="white", font=ImageFont.load_default(max(10, height // 8)))
    return image


def steps(count: int, size: tuple[int, int] = (40, 30)) -> list[Image.Image]:
    """Frames that can be told apart: the index is the grey level."""
    return [Image.new("L", size, index) for index in range(count)]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, *, depth: int = 8, colour_type: int = 0, chunks: bytes = b"", data: bytes = b""
) -> bytes:
    """A PNG that no encoder would write."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(data, 9))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + body + png_chunk(b"IEND", b"")


def gif(canvas: tuple[int, int], frames: Sequence[tuple[int, int]], *, trailer: bytes = b";") -> bytes:
    """A two-colour GIF whose one-code frames need not fit its canvas."""
    body = b"".join(b"," + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x44\x01\x00" for size in frames)
    return b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + body + trailer
