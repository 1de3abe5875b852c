"""Problems for people. What went wrong, and the way back."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Redirect
from pydantic import JsonValue

from app.domain import EngineInfo
from app.http.auth import Principal
from app.web.chrome import Chrome
from app.web.templates import render

Page = Callable[[Request[Any, Any, Any], dict[str, JsonValue]], Response[Any] | None]

#: What to do about it, where that is not plain from the detail.
_ADVICE = {
    "queue_full": "The service is busy. Wait a moment and try again.",
    "not_ready": "The service is starting, or a part of it is missing. Try again in a moment.",
    "lease_lost": "Nothing was changed. Only who has claimed a case can decide it, renew its lease or release it.",
    "case_not_claimable": "Take the next one.",
    "case_conflict": "The case was decided already. The first verdict stands.",
    "not_found": "Check the address, and whether your key may see it. Decisions and cases are not deleted when a time "
    "to be kept is over, only pictures are.",
    "upload_too_large": "Make the picture smaller, or send a smaller version.",
    "internal_error": "If it happens again, give the request id below to whoever runs this service.",
}


#: Forms that stand on a page of their own address, cut short.
_ON_A_PAGE = re.compile(r"(?P<page>/review/[^/]+|/policy/backtests(?:/[^/]+)?)(?:/[^/]+)?")


def problem_page(engine_info: Callable[[], EngineInfo]) -> Page:
    """Shows problems to browsers; to those who are not logged in, the log-in."""

    def show(request: Request[Any, Any, Any], body: dict[str, JsonValue]) -> Response[Any] | None:
        if body["code"] == "unauthenticated" and request.url.path != "/login":
            return Redirect(f"/login?next={quote(_back_to(request))}", status_code=303)
        principal = request.scope.get("user")
        chrome = Chrome(principal if isinstance(principal, Principal) else None, engine_info().demonstration)
        return render(
            "problem.html",
            chrome,
            status_code=int(str(body["status"])),
            problem=body,
            advice=_advice(request, str(body["code"])),
            back=next((page for page in ("/review", "/policy") if request.url.path.startswith(page)), "/"),
        )

    return show


def _advice(request: Request[Any, Any, Any], code: str) -> str | None:
    """Of an address that no handler answers there is nothing to say, and what is missing below /policy is neither a
    decision nor a case."""
    if "path_template" not in request.scope or (code == "not_found" and request.url.path.startswith("/policy")):
        return None
    return _ADVICE.get(code)


def _back_to(request: Request[Any, Any, Any]) -> str:
    """Only pages that can be asked for again: a form's address answers nothing to GET, but the forms of a case and of a
    backtest stand on pages where the browser has kept what was being written."""
    if request.method == "GET":
        return request.url.path
    form = _ON_A_PAGE.fullmatch(request.url.path)
    return form["page"] if form is not None else "/"
