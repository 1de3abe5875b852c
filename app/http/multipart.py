"""Reading multipart bodies in memory, each part within its own limit.

Litestar's own form parser spools uploads to disk and answers undecodable text with a 500; pictures under judgement
should touch no temporary file, and a part that is too large is refused while it arrives.
"""

from collections.abc import AsyncIterator, Mapping

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from app.errors import MalformedRequest, UploadTooLarge

_MAX_PARTS = 32


class _Part:
    def __init__(self, name: str, limit_bytes: int) -> None:
        self.name = name
        self.limit_bytes = limit_bytes
        self.data = bytearray()


async def read_parts(
    stream: AsyncIterator[bytes], boundary: str, limits_bytes: Mapping[str, int], *, file_field: str
) -> dict[str, bytes]:
    """The parts by name. Only names in `limits_bytes` are allowed, each once and up to its limit.

    Raises UploadTooLarge when the part `file_field` is over its limit, MalformedRequest for everything else.
    """
    parts: dict[str, bytes] = {}
    part: _Part | None = None
    try:
        # Leaving the parser's context fails unless the last boundary was seen.
        with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS) as parser:
            async for chunk in stream:
                if not chunk:
                    continue
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        part = _begin(event, parts, limits_bytes)
                    elif part is not None and event:
                        _extend(part, event, is_file=part.name == file_field)
                    elif part is not None:
                        parts[part.name] = bytes(part.data)
                        part = None
    except MultipartError as error:
        raise MalformedRequest("the multipart body is not well formed") from error
    return parts


def _begin(segment: MultipartSegment, parts: Mapping[str, bytes], limits_bytes: Mapping[str, int]) -> _Part:
    name = segment.name or ""
    if name not in limits_bytes:
        known = ", ".join(limits_bytes)
        raise MalformedRequest(f"there is a field that is not known here; known are {known}", field=name[:64] or None)
    if name in parts:
        raise MalformedRequest(f"{name}: sent twice", field=name)
    return _Part(name, limits_bytes[name])


def _extend(part: _Part, data: bytes | bytearray, *, is_file: bool) -> None:
    part.data += data
    if len(part.data) <= part.limit_bytes:
        return
    if is_file:
        raise UploadTooLarge(f"the picture is larger than {part.limit_bytes:,} bytes")
    raise MalformedRequest(f"{part.name}: larger than {part.limit_bytes:,} bytes", field=part.name)
