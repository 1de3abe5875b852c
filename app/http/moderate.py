"""`POST /v1/moderate`: an upload in, a decision out."""

from dataclasses import dataclass

from litestar import post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromQuery, SkipValidation

from app.domain import Decision
from app.errors import MalformedRequest
from app.http.auth import require_scope
from app.http.languages import AcceptLanguage, in_language
from app.http.problems import problems
from app.http.services import GivenModerator
from app.moderation.upload import Upload

_STRING, _OBJECT = OpenAPIType.STRING, OpenAPIType.OBJECT


def _fields() -> dict[str, Reference | Schema]:
    return {
        "caption": Schema(type=_STRING, max_length=10_000, description="The text that goes with the picture."),
        "surface": Schema(
            type=_STRING,
            pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description="Where it would appear, such as `avatar`; conditions of the policy see it.",
        ),
        "user_id": Schema(type=_STRING, max_length=200),
        "external_id": Schema(type=_STRING, max_length=200, description="The platform's own id of the upload."),
        "metadata": Schema(
            type=_OBJECT, description="Kept with the decision, at most 16 KiB; in multipart, a JSON object as text."
        ),
    }


def _request_body() -> RequestBody:
    file = Schema(type=_STRING, content_media_type="application/octet-stream", description="The picture.")
    image = Schema(
        type=_OBJECT,
        required=["base64"],
        properties={"base64": Schema(type=_STRING, content_encoding="base64", description="The picture.")},
    )
    return RequestBody(
        required=True,
        content={
            "multipart/form-data": OpenAPIMediaType(
                schema=Schema(type=_OBJECT, required=["file"], properties={"file": file, **_fields()})
            ),
            "application/json": OpenAPIMediaType(
                schema=Schema(type=_OBJECT, required=["image"], properties={"image": image, **_fields()})
            ),
        },
    )


@dataclass
class _ModerateOperation(Operation):
    """Says what the body is: the handler reads it itself, so Litestar cannot see that."""

    def __post_init__(self) -> None:
        self.request_body = _request_body()


#: Nothing is read and judged in less, and each media worker that is cut off in the middle must be started anew.
_SHORTEST_WAIT_S = 1.0


def require_wait(wait_s: float, longest_wait_s: float, *, field: str = "wait") -> None:
    """Raises MalformedRequest, of the field, for what no decision may take."""
    # Not `wait_s < …`: every comparison with NaN is false.
    if not _SHORTEST_WAIT_S <= wait_s <= longest_wait_s:
        raise MalformedRequest(
            f"{field}: must be at least {_SHORTEST_WAIT_S:g} and at most {longest_wait_s:g} seconds", field=field
        )


@post(
    "/v1/moderate",
    operation_id="moderate",
    operation_class=_ModerateOperation,
    summary="Moderate one picture",
    description="`Idempotency-Key` makes a repeated request get the first answer. `wait` bounds the answer in seconds; "
    "what is not known by then is unknown to the policy, and never a pass.",
    guards=[require_scope("moderate")],
    status_code=200,
    responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503),
    tags=["moderation"],
)
async def moderate(
    moderator: GivenModerator,
    longest_wait_s: NamedDependency[float],
    upload: NamedDependency[SkipValidation[Upload]],
    wait: FromQuery[float | None] = None,
    accept_language: AcceptLanguage = None,
) -> Decision:
    if wait is not None:
        require_wait(wait, longest_wait_s)
    return in_language(await moderator.moderate(upload, deadline_s=wait), accept_language)
