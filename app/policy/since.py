"""Times as people write them."""

import re
from datetime import UTC, datetime, timedelta

from app.errors import MalformedRequest

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since_when(text: str, now: datetime) -> datetime:
    """`90m`, `12h`, `7d`, `4w` before now, or a date such as 2026-11-01 (UTC). Raises MalformedRequest."""
    try:
        if found := re.fullmatch(r"([0-9]{1,6})([mhdw])", text):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        shown = text[:40]
        message = f"since: `{shown}` is neither a span such as 7d nor a date such as 2026-11-01"
        raise MalformedRequest(message, field="since") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
