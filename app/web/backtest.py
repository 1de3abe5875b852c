"""Backtests on the console: an edit is tried on stored decisions, and led on from there to the two doors that it may
take, the live policy's and the shadow policy's."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect

from app.errors import (
    MalformedRequest,
    PolicyConflict,
    PolicyInvalid,
    PolicyProblem,
    PolicyTestsFailed,
    QueueFull,
    WorkerError,
)
from app.http.auth import require_scope
from app.policy.backtests import Asked, Backtests, Run
from app.policy.retention_terms import RetentionTerms
from app.policy.ruleset import Ruleset
from app.web.backtest_form import FIELDS, FORM_BYTES, HOW_FAR, BacktestForm, first_form, form_again, moved, sent_form
from app.web.backtest_view import run_view
from app.web.chrome import Chrome
from app.web.given import (
    GivenBacktests,
    GivenChrome,
    GivenForm,
    GivenPrincipal,
    GivenRetention,
    GivenRuleset,
    GivenShadow,
)
from app.web.templates import render
from app.web.why import read_why


@dataclass(frozen=True, slots=True)
class AgainForm:
    threshold: str = ""
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True)
class ActivateForm:
    """`force` is `yes` where failing policy tests are to be overruled."""

    why: str = ""
    force: str = ""


@dataclass(frozen=True, slots=True)
class ShadowForm:
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a policy that was tried was not put in force. `diff` is what was changed meanwhile."""

    said: str
    problems: tuple[PolicyProblem, ...] = ()
    diff: str | None = None
    forcible: bool = False


class BacktestPages(Controller):
    path = "/policy/backtests"
    guards = (require_scope("policy"),)
    request_max_body_size = 64 * 1024

    @get("/")
    async def form(
        self,
        *,
        backtests: GivenBacktests,
        ruleset: GivenRuleset,
        chrome: GivenChrome,
        again: FromQuery[str] = "",
        base: FromQuery[str] = "",
    ) -> Response[str]:
        """`again` is a run whose policy is edited further, `base` the policy that the edit is now meant for."""
        current = ruleset.current
        form = form_again(backtests.find(again), base or None) if again else first_form(current)
        return _form_page(form, chrome, backtests, current)

    @post("/", request_max_body_size=FORM_BYTES)
    async def begin(
        self,
        *,
        read_form: GivenForm,
        backtests: GivenBacktests,
        ruleset: GivenRuleset,
        principal: GivenPrincipal,
        chrome: GivenChrome,
    ) -> Response[Any]:
        current = ruleset.current
        form = sent_form(await read_form(FIELDS), current)
        try:
            run = await backtests.start(form.asked(principal.key_id, datetime.now(UTC)))
        except PolicyInvalid as invalid:
            return _form_page(replace(form, problems=invalid.problems), chrome, backtests, current, 422)
        except MalformedRequest as fault:
            return _form_page(replace(form, fault=fault.detail), chrome, backtests, current, 400)
        except QueueFull as fault:
            return _form_page(replace(form, fault=fault.detail), chrome, backtests, current, 429)
        except WorkerError as fault:
            return _form_page(replace(form, fault=fault.detail), chrome, backtests, current, 503)
        return _to(run)

    @get("/{run_id:str}")
    async def run(
        self,
        run_id: FromPath[str],
        *,
        backtests: GivenBacktests,
        ruleset: GivenRuleset,
        retention: GivenRetention,
        chrome: GivenChrome,
    ) -> Response[str]:
        return await _run_page(backtests.find(run_id), chrome, ruleset.current, retention)

    @get("/{run_id:str}/progress")
    async def progress(self, run_id: FromPath[str], backtests: GivenBacktests) -> dict[str, Any]:
        run = backtests.find(run_id)
        return {"state": run.state.value, "cancelling": run.cancelling, "done": run.done, "total": run.total}

    @post("/{run_id:str}/cancel")
    async def cancel(self, run_id: FromPath[str], backtests: GivenBacktests) -> Response[Any]:
        return _to(await backtests.cancel(run_id))

    @post("/{run_id:str}/again")
    async def again(
        self,
        run_id: FromPath[str],
        data: URLEncodedBody[AgainForm],
        *,
        backtests: GivenBacktests,
        principal: GivenPrincipal,
    ) -> Response[Any]:
        """The same policy over the same decisions, with another threshold drawn."""
        asked = backtests.find(run_id).asked
        threshold = moved(data.threshold, data.low, data.high)
        return _to(
            await backtests.start(Asked(asked.policy, asked.since, principal.key_id, asked.base, moved=threshold))
        )

    @post("/{run_id:str}/activate")
    async def activate(
        self,
        run_id: FromPath[str],
        data: URLEncodedBody[ActivateForm],
        *,
        backtests: GivenBacktests,
        ruleset: GivenRuleset,
        retention: GivenRetention,
        principal: GivenPrincipal,
        chrome: GivenChrome,
    ) -> Response[Any]:
        """Only over the policy that the edit began with."""
        run, why = backtests.find(run_id), read_why(data.why)
        asked, force = run.asked, data.force == "yes"
        try:
            await ruleset.put(asked.policy, expected=asked.base, author=principal.key_id, why=why, force=force)
        except PolicyConflict as conflict:
            refused, status = Refused(conflict.detail, diff=conflict.diff), 412
        except PolicyTestsFailed as failed:
            refused, status = Refused("It does otherwise than its tests expect.", failed.problems, forcible=True), 422
        except PolicyInvalid as invalid:
            refused, status = Refused("It does not fit the lists of the moment any more.", invalid.problems), 422
        else:
            return Redirect("/policy?notice=put", status_code=303)
        return await _run_page(run, chrome, ruleset.current, retention, status, refused=refused, why=why or "")

    @post("/{run_id:str}/shadow")
    async def shadow(
        self,
        run_id: FromPath[str],
        data: URLEncodedBody[ShadowForm],
        *,
        backtests: GivenBacktests,
        ruleset: GivenRuleset,
        shadow: GivenShadow,
        retention: GivenRetention,
        principal: GivenPrincipal,
        chrome: GivenChrome,
    ) -> Response[Any]:
        run, why = backtests.find(run_id), read_why(data.why)
        try:
            await shadow.put(run.asked.policy, author=principal.key_id, why=why)
        except PolicyInvalid as invalid:
            refused = Refused("It does not fit the lists of the moment any more.", invalid.problems)
            return await _run_page(run, chrome, ruleset.current, retention, 422, refused=refused)
        return Redirect("/policy?notice=tried", status_code=303)


def _form_page(
    form: BacktestForm, chrome: Chrome, backtests: Backtests, current: Ruleset, status_code: int = 200
) -> Response[str]:
    return render(
        "backtest_form.html",
        chrome,
        status_code=status_code,
        form=form,
        spans=HOW_FAR,
        runs=backtests.recent,
        current=current,
    )


async def _run_page(
    run: Run,
    chrome: Chrome,
    current: Ruleset,
    retention: RetentionTerms,
    status_code: int = 200,
    *,
    refused: Refused | None = None,
    why: str = "",
) -> Response[str]:
    view = await asyncio.to_thread(run_view, run, current)  # see `policy_diff`
    return render(
        "backtest_run.html",
        chrome,
        status_code=status_code,
        view=view,
        current=current,
        retention=await retention.change(run) if view.counted else None,
        refused=refused,
        why=why,
    )


def _to(run: Run) -> Response[Any]:
    return Redirect(f"/policy/backtests/{run.id}", status_code=303)
