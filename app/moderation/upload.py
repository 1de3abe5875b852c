"""What a caller hands in."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from app.domain import UploadContext


@dataclass(frozen=True)
class Upload:
    """`data` is the file as it came; `key_id` the API key that sent it."""

    data: bytes
    context: UploadContext
    key_id: str
    idempotency_key: str | None = None

    @cached_property
    def digest(self) -> str:
        """`sha256:` over everything that was asked, so that a repeated request can be told from a different one."""
        digest = sha256(sha256(self.data).digest())
        digest.update(self.context.model_dump_json().encode())
        return f"sha256:{digest.hexdigest()}"
