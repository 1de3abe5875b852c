"""The Litestar application: handlers, what they are given, and what surrounds them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from app.http import operations
from app.http.audit import AuditController
from app.http.decisions import DecisionController
from app.http.forms import form_reader
from app.http.middleware import Surroundings
from app.http.moderate import moderate
from app.http.policy import PolicyController
from app.http.problems import ProblemPage, exception_handlers
from app.http.reviews import ReviewController
from app.http.services import Services, dependencies
from app.http.shadow import ShadowController
from app.http.uploads import UploadLimits, upload_reader

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """`longest_wait_s` is the most that `?wait=` may ask for."""

    upload: UploadLimits
    longest_wait_s: float


def create_app(
    services: Services,
    limits: HttpLimits,
    *,
    console: Sequence[ControllerRouterHandler] = (),
    problem_page: ProblemPage | None = None,
    lifespan: Sequence[Lifespan] = (),
) -> Litestar:
    """The application. `console` are the handlers of the pages, which get the same dependencies as the API's;
    `problem_page` shows problems to people; `lifespan` starts and stops what the services need."""
    app = Litestar(
        route_handlers=[
            moderate,
            DecisionController,
            ReviewController,
            PolicyController,
            ShadowController,
            AuditController,
            operations.healthz,
            operations.readyz,
            operations.metrics,
            operations.status,
            *console,
        ],
        dependencies={
            **dependencies(services),
            "upload": Provide(upload_reader(limits.upload)),
            "read_form": Provide(form_reader, sync_to_thread=False),
            "longest_wait_s": Provide(lambda: limits.longest_wait_s, sync_to_thread=False),
        },
        exception_handlers=exception_handlers(problem_page),
        request_max_body_size=limits.upload.body_bytes,
        lifespan=list(lifespan),
        state=State({"access": services.access}),
        openapi_config=_openapi(services.version),
        # Failures are logged where they are turned into problems; Litestar would log them a second time.
        logging_config=None,
    )
    # Outside the router: what no handler answers gets its log line and its headers too.
    app.asgi_handler = Surroundings(app.asgi_handler, services.engine_info)
    return app


def _openapi(version: str) -> OpenAPIConfig:
    """The document alone: the pages that would show it load scripts from elsewhere."""
    return OpenAPIConfig(
        title="Portcullis",
        version=version,
        description="Content moderation: an upload in, a reasoned decision out.",
        path="/schema",
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
    )
