"""Stop asking the model what no rule can use any more, where the policy says so."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import structlog

from app.domain import UploadContext
from app.moderation.gathering import Gathering
from app.policy.early_stop import still_open
from app.policy.ruleset import Ruleset

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """For one upload. `model_digest` tells which model the answers are of."""

    ruleset: Ruleset
    context: UploadContext
    model_digest: Callable[[], str | None]

    async def watch(self, gathering: Gathering) -> None:
        """Until the model has nothing left to answer. Readers of text and codes run to their end: to stop one would
        cost the process that it runs in. A fault of its own skips nothing."""
        try:
            while gathering.unanswered:
                await gathering.news.wait()
                gathering.news.clear()
                await self._look(gathering)
        except Exception:
            log.exception("nothing more is skipped", action="early_stop_failed")

    async def _look(self, gathering: Gathering) -> None:
        pending = gathering.pending
        if not gathering.unanswered:
            return
        findings = await gathering.findings()
        # What came in meanwhile is pending here, which is only less known than it is.
        still = still_open(self.ruleset, findings, self.context, model_digest=self.model_digest(), pending=pending)
        gathering.skip(gathering.unanswered - still)


def runs_in_full(decision_id: str, share: float) -> bool:
    """Whether this decision is of the sample (`share`, 0..1) that is asked everything all the same. It is the same on
    every node and at every time, and within the sample that the shadow policy's own probes are asked of."""
    return is_sampled(decision_id, share)


def is_sampled(decision_id: str, share: float) -> bool:
    """Of a smaller share, every decision is of the larger one too."""
    return int.from_bytes(sha256(decision_id.encode()).digest()[:8]) < share * 2**64
