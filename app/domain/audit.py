"""What goes into the audit log."""

from datetime import datetime

from pydantic import JsonValue

from app.domain.value import Value


class AuditEvent(Value):
    """One thing that happened. `kind` is dotted (`decision.made`, `policy.activated`, `case.decided`,
    `evidence.viewed`); `actor` a key id, a reviewer or `system`; `subject` the id it is about. The body holds ids,
    digests and outcomes, never text that was found or pixels: the log outlives erasure."""

    id: str
    kind: str
    at: datetime
    actor: str
    subject: str
    body: dict[str, JsonValue]
