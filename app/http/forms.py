"""The console's forms with files, read in memory like any other upload."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import anyio
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException

from app.http.multipart import read_parts

#: Field -> its limit in bytes, to what was sent of them. Raises MalformedRequest for any other field, and for one that
#: is larger; Litestar's 408 and 415.
FormReader: TypeAlias = Callable[[Mapping[str, int]], Awaitable[dict[str, bytes]]]

_BODY_TIMEOUT_S = 60.0


def form_reader(request: Request[Any, Any, Any]) -> FormReader:
    """A dependency: the handler says which fields its form has."""

    async def read(limits_bytes: Mapping[str, int]) -> dict[str, bytes]:
        kind, options = request.content_type
        if kind != "multipart/form-data":
            raise HTTPException(detail="send multipart/form-data", status_code=415)
        try:
            with anyio.fail_after(_BODY_TIMEOUT_S):
                return await read_parts(request.stream(), options.get("boundary", ""), limits_bytes, file_field="")
        except TimeoutError:
            raise HTTPException(detail="the form did not arrive in time", status_code=408) from None
        except InternalServerException:  # the caller hung up
            raise HTTPException(
                detail="the connection was closed before the form was complete", status_code=400
            ) from None

    return read
