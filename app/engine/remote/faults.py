"""How a request to a server goes wrong."""

from app.domain import Status
from app.engine.base import Reason


class RemoteFault(Exception):
    """`detail` is for operators and holds nothing that a stranger wrote. `again`: the same request may go well a
    little later, after `retry_after_s` where the server said so. `harm`: it counts against the server."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        status: Status = Status.FAILED,
        again: bool = False,
        harm: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.again = again
        self.harm = harm
        self.retry_after_s = retry_after_s
