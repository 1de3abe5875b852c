"""Every error as `application/problem+json` (RFC 9457) with a stable `code`; the one place that assigns statuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from pydantic import BaseModel, JsonValue

from app import errors
from app.errors import (
    MalformedRequest,
    PolicyConflict,
    PolicyInvalid,
    PolicyProblem,
    PolicyTestsFailed,
    PortcullisError,
    Unavailable,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

#: Error class -> status. A class that is missing takes its parent's; a test holds that no leaf of the tree is missing.
STATUS: Mapping[type[PortcullisError], int] = {
    errors.UploadError: 422,
    errors.EmptyUpload: 400,
    errors.UploadTooLarge: 413,
    errors.NotAPicture: 415,
    errors.UnsupportedFormat: 415,
    errors.TruncatedPicture: 422,
    errors.PictureTooLarge: 422,
    errors.PictureTooSmall: 422,
    errors.DecodeFailed: 422,
    errors.MalformedRequest: 400,
    errors.Unavailable: 503,
    errors.QueueFull: 429,
    errors.NotReady: 503,
    errors.EngineError: 503,
    errors.EngineUnavailable: 503,
    errors.EngineCrashed: 503,
    errors.ModelUnsupported: 503,
    errors.ProjectorMismatch: 503,
    errors.ChatTemplateUnusable: 503,
    errors.ModelFileMissing: 503,
    errors.ModelFileCorrupt: 503,
    errors.GpuMissing: 503,
    errors.TooLittleMemory: 503,
    errors.SchemaUnsupported: 500,
    errors.NoQuestions: 500,
    errors.WorkerError: 503,
    errors.WorkersNotRunning: 503,
    errors.WorkerCrashed: 503,
    errors.WorkerTimeout: 503,
    errors.PolicyInvalid: 422,
    errors.PolicyTestsFailed: 422,
    errors.PolicyConflict: 412,
    errors.PreconditionRequired: 428,
    errors.CaseError: 409,
    errors.CaseNotClaimable: 409,
    errors.LeaseLost: 409,
    errors.CaseConflict: 409,
    errors.NotFound: 404,
    errors.IdempotencyConflict: 409,
    errors.AccessError: 403,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.AuditBroken: 500,
    errors.StoreUnavailable: 503,
    errors.ConfigurationError: 500,
    errors.PortcullisError: 500,
}

#: What Litestar refuses before a handler of ours runs.
_FRAMEWORK_CODES = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "queue_full",
    503: "not_ready",
}

#: Litestar names a parameter as the handler does, which cannot call one `state`.
_SENT_NAMES = {"case_state": "state"}

#: What Litestar says of these is their title once more.
_FRAMEWORK_DETAILS = {
    404: "there is nothing at this address",
    405: "this address does not take that method; the header `Allow` names those that it takes",
}

_SERVER_ERROR = 500
_RETRY_LATER_S = 5

#: Details of these are written for callers; of every other server fault they may name files, hosts or models.
_PUBLIC_FAULTS = (Unavailable,)


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    def body(self) -> dict[str, JsonValue]:
        return {
            "type": f"urn:portcullis:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }


class ProblemBody(BaseModel):
    """The shape of every error. Some carry more: `field`, `problems`, `components`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """What a handler may answer instead, for its OpenAPI operation."""
    return {
        status: ResponseSpec(
            ProblemBody, generate_examples=False, media_type=MEDIA_TYPE, description=HTTPStatus(status).phrase
        )
        for status in statuses
    }


#: Shows a problem to a person: the request and the problem's body, to a page. None leaves it to JSON.
ProblemPage = Callable[[Request[Any, Any, Any], dict[str, JsonValue]], Response[Any] | None]


def problem_of(error: Exception) -> Problem:
    """What the caller is told. Of a fault on our side, nothing that would describe the inside."""
    if isinstance(error, PortcullisError):
        return _of_ours(error)
    if isinstance(error, HTTPException) and error.status_code < _SERVER_ERROR:
        return _of_framework(error)
    return Problem(500, "internal_error", "The service failed to answer. The fault is logged under the request id.")


def _of_ours(error: PortcullisError) -> Problem:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status >= _SERVER_ERROR and not isinstance(error, _PUBLIC_FAULTS):
        detail = "The service cannot do this at the moment. The fault is logged under the request id."
    else:
        detail = str(error)
    return Problem(status, error.code, detail, _headers(error, status), _extra(error))


def _headers(error: PortcullisError, status: int) -> dict[str, str]:
    if isinstance(error, Unavailable):
        return {"Retry-After": str(max(1, error.retry_after_s))}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(_RETRY_LATER_S)}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="portcullis"'}
    return {}


def _extra(error: PortcullisError) -> dict[str, JsonValue]:
    if isinstance(error, MalformedRequest) and error.field is not None:
        return {"field": error.field}
    if isinstance(error, PolicyInvalid | PolicyTestsFailed):
        return {"problems": [policy_problem(problem) for problem in error.problems]}
    if isinstance(error, PolicyConflict):
        return {"current": error.current, "diff": error.diff}
    return {}


def policy_problem(problem: PolicyProblem) -> dict[str, JsonValue]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
        "source_line": problem.source_line,
    }


def _of_framework(error: HTTPException) -> Problem:
    code = _FRAMEWORK_CODES.get(error.status_code, "malformed_request")
    allow = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        name, message = str(first.get("key", "")), str(first.get("message", "is not valid"))
        name = _SENT_NAMES.get(name, name)
        if message == repr(name):  # a KeyError's: nothing came under that name
            message = "missing"
        if name == "data":  # what handlers call the body
            name, message = "", f"the body is {message}" if message == "missing" else message
        return Problem(400, code, f"{name}: {message}" if name else message, extra={"field": name} if name else {})
    return Problem(error.status_code, code, _FRAMEWORK_DETAILS.get(error.status_code, error.detail), allow)


def exception_handlers(page: ProblemPage | None) -> ExceptionHandlersMap:
    """For the whole application. `page` may answer people's browsers with a page of its own."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        problem = problem_of(error)
        if problem.status >= _SERVER_ERROR and not isinstance(error, Unavailable):
            log.error("request failed", action="request_failed", code=problem.code, exc_info=error)
        body = problem.body() | {"request_id": request.scope.get("state", {}).get("request_id")}
        if page is not None and _wants_page(request) and (answer := page(request, body)) is not None:
            answer.headers.update(problem.headers)
            return answer
        return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(problem.headers))

    return {Exception: handle, PortcullisError: handle, HTTPException: handle}


def _wants_page(request: Request[Any, Any, Any]) -> bool:
    """Browsers that navigate ask for HTML by name; `*/*` is a program."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
