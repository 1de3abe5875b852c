"""The console's handlers in one place."""

from typing import Any

from litestar import Request, Router
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from app.web.backtest import BacktestPages
from app.web.given import CHROME, largest_upload
from app.web.login import log_in, log_out, login_page
from app.web.policy import PolicyPages
from app.web.review import ReviewPages
from app.web.shadow import ShadowPages
from app.web.templates import STATIC
from app.web.uploads import decision_page, moderate_form, upload_page

_YEAR_S = 365 * 86_400
_STATIC_FILES = frozenset(path.name for path in STATIC.iterdir())


def console_handlers(*, largest_upload_bytes: int) -> list[ControllerRouterHandler]:
    """Everything the console answers; the application provides what the handlers ask for by name."""
    pages = Router(
        path="/",
        route_handlers=[
            login_page,
            log_in,
            log_out,
            upload_page,
            moderate_form,
            decision_page,
            ReviewPages,
            PolicyPages,
            BacktestPages,
            ShadowPages,
        ],
        dependencies={"chrome": CHROME, "largest_upload_bytes": largest_upload(largest_upload_bytes)},
        include_in_schema=False,
    )
    static = create_static_files_router(
        path="/static",
        directories=[STATIC],
        include_in_schema=False,
        # Addresses carry the content's digest.
        cache_control=CacheControlHeader(public=True, max_age=_YEAR_S, immutable=True),
        before_request=_require_ours,
    )
    return [pages, static]


def _require_ours(request: Request[Any, Any, Any]) -> None:
    """Only what is known to lie there is looked for: of other names, some are more than the file system can take."""
    name = str(request.path_params.get("file_path", "")).removeprefix("/")
    if name not in _STATIC_FILES:
        raise NotFoundException
