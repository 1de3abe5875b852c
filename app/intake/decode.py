"""From an upload's bytes to an Image: what costs nothing is checked here, the rest happens in a media worker."""

import asyncio
import hashlib
import hmac

from app.domain import Image
from app.errors import DecodeFailed, UploadTooLarge, WorkerTimeout
from app.intake.limits import IntakeLimits
from app.intake.reader import decode_picture
from app.intake.sniff import sniff
from app.workers import Workers

__all__ = ["Intake", "IntakeLimits"]

#: A decoder that was killed after this part of its time limit was slow by itself, not because of a busy machine.
_OWN_FAULT_SHARE = 0.75


class Intake:
    """`sampling_secret` keys which frames of an animation are looked at; it never leaves this process."""

    def __init__(self, workers: Workers, limits: IntakeLimits, sampling_secret: bytes) -> None:
        self._workers = workers
        self._limits = limits
        self._secret = sampling_secret

    async def decode(self, data: bytes, *, timeout_s: float) -> Image:
        """The picture. Raises UploadError when it cannot be moderated, also when decoding it takes longer than
        `limits.timeout_s`; WorkerTimeout when no worker had the time before; and WorkerCrashed."""
        limits = self._limits
        if len(data) > limits.max_bytes:
            raise UploadTooLarge(f"The upload has {len(data)} bytes; at most {limits.max_bytes} are accepted.")
        picture_format = sniff(data)
        digest = await asyncio.to_thread(hashlib.sha256, data)
        seed = hmac.digest(self._secret, digest.digest(), "sha256")
        try:
            return await self._workers.run(
                decode_picture,
                data,
                picture_format,
                digest.hexdigest(),
                seed,
                limits,
                timeout_s=min(timeout_s, limits.timeout_s),
            )
        except WorkerTimeout as error:
            if error.ran_s < limits.timeout_s * _OWN_FAULT_SHARE:
                raise
            raise DecodeFailed(f"The picture takes longer than {limits.timeout_s:g} s to decode.") from error
