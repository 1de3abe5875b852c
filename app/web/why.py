"""What people say of what they do, for the history and the audit log."""

from app.errors import MalformedRequest

_LONGEST = 500


def read_why(text: str) -> str | None:
    """Blank is nothing. Raises MalformedRequest."""
    why = text.strip()
    if len(why) > _LONGEST or "\x00" in why:
        raise MalformedRequest(f"why: at most {_LONGEST} characters of text", field="why")
    return why or None
