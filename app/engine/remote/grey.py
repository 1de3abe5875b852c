"""The picture that a server is tried with: small, and nobody's."""

from functools import lru_cache

from app.domain import Picture
from app.engine.remote.picture import data_uri

_SIDE_PX = 64


@lru_cache(maxsize=1)
def grey() -> bytes:
    """Its data URI."""
    return data_uri(Picture(_SIDE_PX, _SIDE_PX, b"\x80" * (_SIDE_PX * _SIDE_PX * 3)))
