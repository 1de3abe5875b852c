"""From a request to an `Upload`: multipart or JSON, for the API and the console alike."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, TypeVar

import anyio
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from app.domain import UploadContext
from app.errors import MalformedRequest, QueueFull, UploadTooLarge
from app.http.auth import authenticate
from app.http.multipart import read_parts
from app.moderation.upload import Upload

#: A body that is not here by then comes from a caller who holds memory and sends nothing, in seconds.
_BODY_TIMEOUT_S = 60.0

_MAX_METADATA_BYTES = 16 * 1024
_MAX_METADATA_DEPTH = 8
#: Beyond these, JSON numbers change their value on the way through other programs (RFC 8259, section 6).
_MAX_INTEGER = 2**53 - 1

#: Room for the fields beside the picture, in bytes.
_FIELDS_BYTES = 256 * 1024
_TEXT_PART_BYTES = 64 * 1024

#: Characters; a multiple of four, so that every slice but the last is complete.
_BASE64_SLICE = 1 << 20

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """`body_bytes_in_flight` bounds the bodies that are being received at once; their pictures are counted again
    when the moderator admits them."""

    upload_bytes: int
    body_bytes_in_flight: int

    @property
    def body_bytes(self) -> int:
        """The largest body: the largest picture in base64, and the fields beside it."""
        return (self.upload_bytes + 2) // 3 * 4 + _FIELDS_BYTES


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL, and a lone surrogate has no UTF-8."""
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains half a surrogate pair") from None
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("contains a character that cannot be printed")
    return text


def _plain(value: JsonValue, depth: int = 1) -> None:
    if depth > _MAX_METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {_MAX_METADATA_DEPTH} levels")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise ValueError("contains an integer beyond 2^53 - 1; send it as a string")
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError("contains a number that is not finite")
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _plain(item, depth + 1)


def _metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _plain(value)
    if len(UploadContext(metadata=value).model_dump_json().encode()) > _MAX_METADATA_BYTES:
        raise ValueError(f"is larger than {_MAX_METADATA_BYTES:,} bytes")
    return value


Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable), AfterValidator(_one_line)]


class UploadFields(BaseModel):
    """What may be said of an upload. `surface` is where on the platform it would appear (`avatar`, `chat`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    caption: Annotated[str, Field(max_length=10_000), AfterValidator(_storable)] | None = None
    surface: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = None
    user_id: Label | None = None
    external_id: Label | None = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(_metadata)] = Field(default_factory=dict)

    def context(self) -> UploadContext:
        return UploadContext(
            caption=self.caption,
            surface=self.surface,
            user_id=self.user_id,
            external_id=self.external_id,
            metadata=self.metadata,
        )


def upload_fields(values: Mapping[str, object]) -> UploadFields:
    """Raises MalformedRequest naming the field."""
    return _validated(lambda: UploadFields.model_validate(values))


class EncodedImage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base64: str | None = None
    url: str | None = None


class UploadBody(UploadFields):
    image: EncodedImage


_METADATA = TypeAdapter(dict[str, JsonValue])
Parsed = TypeVar("Parsed")


class BodyBudget:
    """Bounds the memory of bodies that are being received. One event loop uses it, so it needs no lock."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Raises QueueFull when the bodies of other requests leave no room."""
        if self._held_bytes and self._held_bytes + size_bytes > self._limit_bytes:
            raise QueueFull("too many uploads are arriving at once", retry_after_s=1)
        self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes


AnyRequest = Request[Any, Any, Any]
UploadReader = Callable[[AnyRequest], Awaitable[Upload]]


def upload_reader(limits: UploadLimits) -> UploadReader:
    """A dependency that reads the upload out of a request that has passed its guard.

    Raises MalformedRequest naming the field, UploadTooLarge, QueueFull, or Litestar's 408 and 415.
    """
    budget = BodyBudget(limits.body_bytes_in_flight)

    async def read_upload(request: AnyRequest) -> Upload:
        principal = await authenticate(request)
        idempotency_key = _idempotency_key(request)
        async with _receiving(request, budget, limits):
            data, context = await _read(request, limits)
        return Upload(data=data, context=context, key_id=principal.key_id, idempotency_key=idempotency_key)

    return read_upload


@asynccontextmanager
async def _receiving(request: AnyRequest, budget: BodyBudget, limits: UploadLimits) -> AsyncIterator[None]:
    announced = request.content_length
    size_bytes = limits.body_bytes if announced is None else min(max(announced, 0), limits.body_bytes)
    try:
        with budget.hold(size_bytes), anyio.fail_after(_BODY_TIMEOUT_S):
            yield
    except TimeoutError:
        raise HTTPException(detail="the body did not arrive in time", status_code=408) from None
    except InternalServerException:
        # What Litestar raises when the caller hangs up: no fault of ours, and nobody is left to read the answer.
        raise HTTPException(detail="the connection was closed before the body was complete", status_code=400) from None
    except RequestEntityTooLarge:
        raise UploadTooLarge(
            f"the request is larger than a picture of {limits.upload_bytes:,} bytes can make it"
        ) from None


async def _read(request: AnyRequest, limits: UploadLimits) -> tuple[bytes, UploadContext]:
    kind, options = request.content_type
    if kind == "multipart/form-data":
        return await _read_multipart(request, options.get("boundary", ""), limits)
    if kind == "application/json":
        # Not `request.body()`: that would keep the body in memory until the decision is made.
        body = b"".join([chunk async for chunk in request.stream()])
        return await anyio.to_thread.run_sync(_read_json, body, limits)
    raise HTTPException(detail="send multipart/form-data or application/json", status_code=415)


async def _read_multipart(request: AnyRequest, boundary: str, limits: UploadLimits) -> tuple[bytes, UploadContext]:
    texts = dict.fromkeys(UploadFields.model_fields, _TEXT_PART_BYTES)
    parts = await read_parts(request.stream(), boundary, {"file": limits.upload_bytes, **texts}, file_field="file")
    data = parts.pop("file", None)
    if data is None:
        raise MalformedRequest("file: missing; send the picture in this field", field="file")
    return data, _fields_of(parts).context()


def _fields_of(parts: dict[str, bytes]) -> UploadFields:
    """A form sends its empty fields too: blank is the same as absent."""
    values: dict[str, object] = {}
    for name, raw in parts.items():
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise MalformedRequest(f"{name}: is not UTF-8", field=name) from None
        if text.strip():
            values[name] = text
    if "metadata" in values:
        values["metadata"] = _validated(lambda: _METADATA.validate_json(parts["metadata"]), within="metadata")
    return upload_fields(values)


def _read_json(body: bytes, limits: UploadLimits) -> tuple[bytes, UploadContext]:
    request = _validated(lambda: UploadBody.model_validate_json(body))
    return _picture(request.image, limits), request.context()


def _picture(image: EncodedImage, limits: UploadLimits) -> bytes:
    if image.url is not None:
        raise MalformedRequest(
            "image.url: pictures are not fetched by URL; send the picture itself as image.base64", field="image.url"
        )
    if image.base64 is None:
        raise MalformedRequest("image.base64: missing", field="image.base64")
    try:
        data = _decoded(image.base64)
    except ValueError:
        raise MalformedRequest(
            "image.base64: not base64 (the standard alphabet with padding, no line breaks, no `data:` prefix)",
            field="image.base64",
        ) from None
    if len(data) > limits.upload_bytes:
        raise UploadTooLarge(f"the picture is larger than {limits.upload_bytes:,} bytes")
    return data


def _decoded(text: str) -> bytes:
    """Slice by slice, because decoding holds the interpreter's lock: 20 MiB at once would stop every other request for
    a tenth of a second. Raises ValueError for what is not strict base64."""
    if len(text) % 4 or text.find("=", 0, max(0, len(text) - 2)) != -1:
        raise ValueError("padding is missing, or not at the end")
    return b"".join(
        b64decode(text[start : start + _BASE64_SLICE], validate=True) for start in range(0, len(text), _BASE64_SLICE)
    )


def _validated(validate: Callable[[], Parsed], *, within: str | None = None) -> Parsed:
    try:
        return validate()
    except ValidationError as error:
        raise malformed(error, within=within) from None


def malformed(error: ValidationError, *, within: str | None = None) -> MalformedRequest:
    """What is wrong and where (`within` a field that was validated by itself), without the values that were sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    loc = first["loc"] if within is None else (within, *first["loc"])
    field = ".".join(str(part) for part in loc)[:200]
    message = first["msg"].removeprefix("Value error, ")
    return MalformedRequest(f"{field}: {message}" if field else message, field=field or None)


def _idempotency_key(request: AnyRequest) -> str | None:
    keys = request.headers.getall("idempotency-key", [])
    if len(keys) > 1:
        raise MalformedRequest("Idempotency-Key: sent twice", field="Idempotency-Key")
    key = keys[0] if keys else None
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise MalformedRequest("Idempotency-Key: must be 1 to 200 printable ASCII characters", field="Idempotency-Key")
    return key
