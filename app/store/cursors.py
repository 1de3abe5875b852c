"""Opaque page cursors: where the last page ended, by the columns it is ordered by."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime

from app.errors import MalformedRequest

#: Longer than any cursor that is given out.
_MAX_LENGTH = 512
#: Longest page that is read at once.
_MAX_PAGE = 500


def write_cursor(kind: str, place: Sequence[str | int]) -> str:
    """`kind` names the list, so that a cursor of another one is recognised."""
    text = json.dumps([kind, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str, shape: Sequence[type]) -> list[str | int]:
    """The place that `write_cursor` was given. Raises MalformedRequest for anything it did not write."""
    if len(cursor) > _MAX_LENGTH:
        raise _foreign()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _foreign() from error
    if not isinstance(values, list) or values[:1] != [kind] or [type(value) for value in values[1:]] != list(shape):
        raise _foreign()
    return values[1:]


def time_of(value: str | int) -> datetime:
    """A time inside a cursor. Raises MalformedRequest."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _foreign() from error
    if moment.tzinfo is None:
        raise _foreign()
    return moment


def _foreign() -> MalformedRequest:
    return MalformedRequest("the cursor is not one that this list gave out")


def page_limit(limit: int) -> int:
    """Raises MalformedRequest."""
    if not 1 <= limit <= _MAX_PAGE:
        raise MalformedRequest(f"a page has 1 to {_MAX_PAGE} entries")
    return limit
