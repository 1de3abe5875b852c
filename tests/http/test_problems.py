"""Every error has a status, and none tells of the inside."""

from collections.abc import Iterator

import pytest
from litestar import get, post
from litestar.exceptions import HTTPException

from app import errors
from app.errors import MalformedRequest, PolicyInvalid, PolicyProblem, PortcullisError, QueueFull
from app.http.problems import STATUS, problem_of
from tests.http.rig import Rig

SECRET = "/srv/secret/path postgres://user:hunter2@db"


def leaves(kind: type[PortcullisError]) -> Iterator[type[PortcullisError]]:
    """Of the tree itself: other tests make classes of their own."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    if not children:
        yield kind
    for child in children:
        yield from leaves(child)


def test_every_leaf_of_the_tree_has_a_status_of_its_own() -> None:
    assert [leaf.__name__ for leaf in leaves(PortcullisError) if leaf not in STATUS] == []


def test_every_code_is_one_errors_alone() -> None:
    codes = [leaf.code for leaf in leaves(PortcullisError)]
    assert sorted(codes) == sorted(set(codes))


def test_a_new_subclass_takes_its_parents_status() -> None:
    class Torn(errors.TruncatedPicture):
        code = "torn"

    problem = problem_of(Torn("torn in two"))
    assert (problem.status, problem.code) == (422, "torn")


@pytest.mark.parametrize(
    "error",
    [
        errors.StoreUnavailable(SECRET),
        errors.ModelFileMissing(SECRET),
        errors.EngineUnavailable(SECRET),
        errors.WorkerCrashed(SECRET),
        errors.ConfigurationError(SECRET),
        errors.AuditBroken(SECRET),
        RuntimeError(SECRET),
        HTTPException(detail=SECRET, status_code=500),
    ],
)
def test_faults_of_ours_do_not_describe_the_inside(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.status >= 500
    assert SECRET not in str(problem.body())


def test_refusals_say_when_to_come_back() -> None:
    problem = problem_of(QueueFull("full", retry_after_s=7))
    assert (problem.status, problem.headers["Retry-After"]) == (429, "7")
    assert problem_of(QueueFull("full", retry_after_s=0)).headers["Retry-After"] == "1"
    assert problem_of(errors.NotReady("starting")).status == 503
    assert "Retry-After" in problem_of(errors.StoreUnavailable("x")).headers


def test_a_broken_policy_carries_every_problem() -> None:
    found = PolicyProblem("policies.yaml", 4, 2, "no such probe", hint="did you mean violence?", source_line="  x")
    body = problem_of(PolicyInvalid((found, found))).body()
    assert (
        body["problems"]
        == [
            {
                "file": "policies.yaml",
                "line": 4,
                "column": 2,
                "message": "no such probe",
                "hint": "did you mean violence?",
                "source_line": "  x",
            }
        ]
        * 2
    )


async def test_a_wrong_parameter_is_named_as_it_was_sent(rig: Rig) -> None:
    async with rig.client("review") as client:
        body = (await client.get("/v1/reviews?state=lost")).json()
    assert body["field"] == "state"
    assert body["detail"].startswith("state: ")


def test_a_malformed_request_names_its_field() -> None:
    assert problem_of(MalformedRequest("caption: too long", field="caption")).body()["field"] == "caption"


@get("/explode")
async def explode() -> None:
    raise RuntimeError(SECRET)


@post("/v1/explode")
async def explode_too() -> None:
    raise errors.StoreUnavailable(SECRET)


async def test_an_unhandled_exception_is_a_problem_without_internals(
    own_rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    own_rig.app.register(explode)
    own_rig.app.register(explode_too)
    async with own_rig.client(**{"x-request-id": "req-1"}) as client:
        plain = await client.get("/explode")
        ours = await client.post("/v1/explode")
    for answer, status in ((plain, 500), (ours, 503)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert SECRET not in answer.text
        assert answer.json()["request_id"] == "req-1"
    assert SECRET in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/moderate", 405, "method_not_allowed"),
        ("DELETE", "/v1/decisions", 405, "method_not_allowed"),
        ("GET", "/v1/decisions?limit=0", 400, "malformed_request"),
        ("GET", "/v1/decisions?limit=x", 400, "malformed_request"),
        ("GET", "/v1/decisions?outcome=maybe", 400, "malformed_request"),
        ("GET", "/v1/decisions?cursor=nonsense", 400, "malformed_request"),
        ("GET", "/v1/reviews?state=lost", 400, "malformed_request"),
        ("GET", "/v1/audit?after=-1", 400, "malformed_request"),
        ("GET", "/v1/decisions/dec_none", 404, "not_found"),
        ("GET", "/v1/decisions/dec_none/image", 404, "not_found"),
        ("GET", "/v1/reviews/case_none", 404, "not_found"),
        ("POST", "/v1/reviews/case_none/release", 404, "not_found"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    rig: Rig, method: str, path: str, status: int, code: str
) -> None:
    async with rig.client() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:portcullis:problem:{code}"
    if status == 405:
        assert answer.headers["allow"]
