"""From an upload's bytes to an Image: what costs nothing is checked here, the rest happens in a media worker."""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, field
from importlib.metadata import version

from PIL import features

import app
from app.domain import Image
from app.errors import DecodeFailed, UploadTooLarge, WorkerTimeout
from app.intake.limits import IntakeLimits
from app.intake.reader import decode_picture
from app.intake.sniff import PictureFormat, sniff
from app.workers import Workers

__all__ = ["Inspected", "Intake", "IntakeLimits"]

#: A decoder that was killed after this part of its time limit was slow by itself, not because of a busy machine.
_OWN_FAULT_SHARE = 0.75

#: A digest of so many bytes is made sooner than a thread is found for it.
_HASHED_AT_ONCE_BYTES = 256 * 1024

#: The decoders behind Pillow, which has a version of its own.
_CODECS = ("jpg", "libjpeg_turbo", "webp", "avif", "zlib")


@dataclass(frozen=True, slots=True)
class Inspected:
    """Bytes that begin like a picture, with their SHA-256."""

    data: bytes = field(repr=False)
    picture_format: PictureFormat
    digest: bytes

    @property
    def sha256(self) -> str:
        return self.digest.hex()


class Intake:
    """`sampling_secret` keys which frames of an animation are looked at; it never leaves this process."""

    def __init__(self, workers: Workers, limits: IntakeLimits, sampling_secret: bytes) -> None:
        self._workers = workers
        self._limits = limits
        self._secret = sampling_secret
        self._pins = repr((limits, hmac.digest(sampling_secret, b"pins", "sha256"), _decoders()))

    @property
    def pins(self) -> str:
        """Everything but a picture's bytes that decides what decoding it yields: limits, sampling, decoders."""
        return self._pins

    async def inspect(self, data: bytes) -> Inspected:
        """What can be seen for nothing. Raises UploadError."""
        limits = self._limits
        if len(data) > limits.max_bytes:
            raise UploadTooLarge(f"The upload has {len(data)} bytes; at most {limits.max_bytes} are accepted.")
        picture_format = sniff(data)
        if len(data) <= _HASHED_AT_ONCE_BYTES:
            digest = hashlib.sha256(data)
        else:
            digest = await asyncio.to_thread(hashlib.sha256, data)
        return Inspected(data, picture_format, digest.digest())

    async def decode(self, file: Inspected, *, timeout_s: float) -> Image:
        """The picture. Raises UploadError when it cannot be moderated, also when decoding it takes longer than
        `limits.timeout_s`; WorkerTimeout when no worker had the time before; WorkerCrashed;
        and WorkersNotRunning."""
        limits = self._limits
        try:
            return await self._workers.run(
                decode_picture,
                file.data,
                file.picture_format,
                file.sha256,
                hmac.digest(self._secret, file.digest, "sha256"),
                limits,
                timeout_s=min(timeout_s, limits.timeout_s),
            )
        except WorkerTimeout as error:
            if error.ran_s < limits.timeout_s * _OWN_FAULT_SHARE:
                raise
            raise DecodeFailed(f"The picture takes longer than {error.ran_s:.2g} s to decode.") from error


def _decoders() -> tuple[tuple[str, str | None], ...]:
    codecs = [(name, features.version(name)) for name in _CODECS]
    return ("portcullis", app.__version__), ("pillow", version("pillow")), ("pdqhash", version("pdqhash")), *codecs
