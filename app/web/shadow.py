"""What the policy page shows of what is tried beside the live policy, and the two ways to end a trial."""

from dataclasses import dataclass
from datetime import UTC, datetime

from litestar import Controller, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from app.domain import Outcome
from app.http.auth import require_scope
from app.policy.live import LiveRuleset
from app.policy.ports import ShadowStore
from app.policy.shadow import ShadowPolicy, ShadowStatus
from app.policy.shadow_report import ShadowReport, ShadowReports, report_on
from app.policy.since import since_when
from app.web.given import GivenPrincipal, GivenShadow
from app.web.shares import Part, parts_of
from app.web.why import read_why

#: What the page offers; anything else is the API's.
SPANS = ("1d", "7d", "28d")


@dataclass(frozen=True, slots=True)
class TrialView:
    title: str
    report: ShadowReport
    decided: tuple[Part, ...]
    would_be: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ShadowView:
    status: ShadowStatus
    span: str
    reports: ShadowReports
    trials: tuple[TrialView, ...]


async def shadow_view(shadow: ShadowPolicy, store: ShadowStore, live: LiveRuleset, span: str) -> ShadowView:
    """`span` is one of `SPANS`; anything else is the shortest. Raises StoreUnavailable."""
    span = span if span in SPANS else SPANS[0]
    since = since_when(span, datetime.now(UTC))
    reports = await report_on(store, shadow=shadow.status.entry, live=live.current, since=since)
    named = (("The shadow policy", reports.policy), ("The shadow rules of the live policy", reports.rules))
    trials = tuple(_trial(title, report) for title, report in named if report is not None)
    return ShadowView(shadow.status, span, reports, trials)


def _trial(title: str, report: ShadowReport) -> TrialView:
    decided = {before: sum(report.table[before].values()) for before in Outcome}
    would_be = {after: sum(report.table[before][after] for before in Outcome) for after in Outcome}
    return TrialView(title, report, parts_of(decided), parts_of(would_be))


@dataclass(frozen=True, slots=True)
class PromoteForm:
    """`live` and `shadow` are the digests that the page showed."""

    live: str
    shadow: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class RemoveForm:
    why: str = ""


class ShadowPages(Controller):
    path = "/policy/shadow"
    guards = (require_scope("policy"),)
    request_max_body_size = 64 * 1024

    @post("/promote")
    async def promote(
        self, data: URLEncodedBody[PromoteForm], *, shadow: GivenShadow, principal: GivenPrincipal
    ) -> Redirect:
        await shadow.promote(expected=data.live, shadow=data.shadow, author=principal.key_id, why=read_why(data.why))
        return Redirect("/policy?notice=promoted", status_code=303)

    @post("/remove")
    async def remove(
        self, data: URLEncodedBody[RemoveForm], *, shadow: GivenShadow, principal: GivenPrincipal
    ) -> Redirect:
        await shadow.remove(author=principal.key_id, why=read_why(data.why))
        return Redirect("/policy?notice=removed", status_code=303)
