"""What operators and machines ask: alive, ready, metrics, status."""

from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, JsonValue

from app.domain import EngineState
from app.http.auth import require_key
from app.http.problems import MEDIA_TYPE, Problem, policy_problem, problems
from app.http.services import GivenEngineInfo, GivenReadiness, GivenRuleset

_RETRY_AFTER_S = 5


class Health(BaseModel):
    status: str


class RulesetReport(BaseModel):
    """`problems` are those of the last file that could not be activated, at `failed_at`; `digest` is still the last
    good one's. `seq` counts activations; nodes with the same one decide alike."""

    digest: str
    policy_digest: str
    activated_at: datetime
    problems: list[dict[str, JsonValue]]
    failed_at: datetime | None
    seq: int | None
    notice: str | None


class EngineProcessReport(BaseModel):
    """`jobs` are those that the process has been given and has not finished."""

    name: str
    state: EngineState
    detail: str | None
    restarts: int
    jobs: int


class EngineReport(BaseModel):
    """`degraded` when it is ready with fewer `processes` than it should have; one on a server has none."""

    name: str
    state: EngineState
    degraded: bool
    demonstration: bool
    model: str | None
    projector: str | None
    detail: str | None
    restarts: int
    queue_depth: int
    processes: list[EngineProcessReport]


class StatusReport(BaseModel):
    """`components` says of each what keeps it from being ready, or null."""

    version: str
    demo: bool
    ready: bool
    components: dict[str, str | None]
    ruleset: RulesetReport
    engine: EngineReport


@get("/healthz", operation_id="health", summary="Whether the process lives", tags=["operations"])
async def healthz() -> Health:
    return Health(status="ok")


@get(
    "/readyz",
    operation_id="ready",
    summary="Whether uploads can be decided",
    description="503 names the components that are not ready; `/v1/status` says why, to those who have a key. `engine` "
    "is the engine's state: `ready`, `degraded` (with fewer processes than it should have), or why it is not ready.",
    tags=["operations"],
    responses=problems(503),
)
async def readyz(readiness: GivenReadiness, engine_info: GivenEngineInfo) -> Response[dict[str, Any]]:
    components = {name: "ready" if why is None else "not_ready" for name, why in (await readiness()).items()}
    info = engine_info()
    engine = "degraded" if info.degraded else info.state.value
    missing = sorted(name for name, state in components.items() if state != "ready")
    if not missing:
        return Response({"status": "ready", "components": components, "engine": engine})
    told: dict[str, JsonValue] = {"components": dict(components), "engine": engine}
    problem = Problem(503, "not_ready", f"Not ready: {', '.join(missing)}.", extra=told)
    return Response(
        problem.body(), status_code=503, media_type=MEDIA_TYPE, headers={"Retry-After": str(_RETRY_AFTER_S)}
    )


@get("/metrics", operation_id="metrics", summary="For Prometheus", tags=["operations"], sync_to_thread=True)
def metrics() -> Response[bytes]:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@get(
    "/v1/status",
    operation_id="status",
    summary="Version, ruleset, engine",
    guards=[require_key],
    tags=["operations"],
    responses=problems(401),
)
async def status(
    version: NamedDependency[str], ruleset: GivenRuleset, engine_info: GivenEngineInfo, readiness: GivenReadiness
) -> StatusReport:
    engine, components = engine_info(), dict(await readiness())
    current = ruleset.status
    return StatusReport(
        version=version,
        demo=engine.demonstration,
        ready=all(why is None for why in components.values()),
        components=components,
        ruleset=RulesetReport(
            digest=current.digest,
            policy_digest=ruleset.current.policy_digest,
            activated_at=current.activated_at,
            problems=[policy_problem(problem) for problem in current.problems],
            failed_at=current.failed_at,
            seq=current.activation.seq if current.activation else None,
            notice=current.notice,
        ),
        engine=EngineReport(
            name=engine.name,
            state=engine.state,
            degraded=engine.degraded,
            demonstration=engine.demonstration,
            model=engine.model_digest,
            projector=engine.projector_digest,
            detail=engine.detail,
            restarts=engine.restarts,
            queue_depth=engine.queue_depth,
            processes=[
                EngineProcessReport(
                    name=process.name,
                    state=process.state,
                    detail=process.detail,
                    restarts=process.restarts,
                    jobs=process.jobs,
                )
                for process in engine.processes
            ],
        ),
    )
