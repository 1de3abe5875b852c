"""What stands before a question in a message to a server: a picture, or a text in its place."""

from typing import TypeAlias

from app.domain import Picture, WrittenText
from app.engine.quoting import quoted
from app.engine.remote.picture import data_uri

#: A picture's data URI, or the text as it goes before the question.
Shown: TypeAlias = bytes | str


def shown(subject: Picture | WrittenText) -> Shown:
    """Blocking for a picture: see `data_uri`."""
    return quoted(subject) if isinstance(subject, WrittenText) else data_uri(subject)
