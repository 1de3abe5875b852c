"""The first page: a picture in, its decision out."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from app.http.auth import require_reader, require_scope
from app.web.given import GivenChrome, GivenDecisions, GivenModerator, GivenPrincipal, GivenUpload
from app.web.templates import render
from app.web.views import decision_view


@get("/", guards=[require_scope("moderate")])
async def upload_page(chrome: GivenChrome, largest_upload_bytes: NamedDependency[int]) -> Response[str]:
    return render("upload.html", chrome, largest_upload_bytes=largest_upload_bytes)


@post("/", guards=[require_scope("moderate")])
async def moderate_form(moderator: GivenModerator, upload: GivenUpload) -> Response[Any]:
    """Answers with the decision's own address, so that reloading the page does not upload again."""
    decision = await moderator.moderate(upload)
    return Redirect(f"/decisions/{decision.id}", status_code=303)


@get("/decisions/{decision_id:str}", guards=[require_reader])
async def decision_page(
    decision_id: FromPath[str], decisions: GivenDecisions, principal: GivenPrincipal, chrome: GivenChrome
) -> Response[str]:
    # Whether this key may see it is asked first: the record does not know keys.
    await decisions.find(decision_id, key_id=principal.decisions_of)
    return render("decision.html", chrome, view=decision_view(await decisions.find_record(decision_id)))
