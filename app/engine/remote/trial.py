"""Whether a server can do what is asked of it: it serves the model, looks at a picture, and tells of its logarithms."""

import contextlib
from dataclasses import dataclass, replace

from app.domain import Question, QuestionKind
from app.engine.base import Reason
from app.engine.remote.asking import COMPLETIONS
from app.engine.remote.client import Client, Refused
from app.engine.remote.config import RemoteConfig
from app.engine.remote.faults import RemoteFault
from app.engine.remote.grey import grey
from app.engine.remote.wire import read_completion, read_models, request_body

_QUESTION = Question("trial", QuestionKind.YES_NO, "Is this image grey? Answer Yes or No.")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Served:
    """`top_logprobs`: how many the server lists when asked for the configured number."""

    model: str
    top_logprobs: int


async def try_server(config: RemoteConfig, client: Client) -> Served:
    """Raises RemoteFault with a sentence for the operator."""
    try:
        model = _chosen(config, read_models(await client.get("/models", timeout_s=config.timeout_s)))
        body = request_body(model, _QUESTION, grey(), top_logprobs=config.top_logprobs)
        choice = read_completion(await client.post(COMPLETIONS, body, timeout_s=config.timeout_s)).choice
    except TimeoutError as error:
        detail = f"{config.url} did not answer within {config.timeout_s:g} s"
        raise RemoteFault(Reason.ENGINE_TIMEOUT, detail) from error
    except Refused as refused:
        said = f": {refused.said}" if refused.said else ""
        raise RemoteFault(refused.reason, f"{refused.detail}{said}") from refused
    tokens = choice.logprobs.content if choice.logprobs is not None else None
    listed = tokens[0].top_logprobs if tokens else None
    if not listed:
        raise RemoteFault(Reason.NO_LOGPROBS, f"{config.url} answers without top_logprobs: see docs/engine.md")
    return Served(model, len(listed))


async def look(config: RemoteConfig, client: Client, model: str | None) -> None:
    """Whether it is still there and serves that model; costs the server nothing. One that is too busy to say so is
    there. Raises RemoteFault."""
    with contextlib.suppress(TimeoutError):
        served = read_models(await client.get("/models", timeout_s=config.timeout_s))
        _chosen(replace(config, model=model), served)


def _chosen(config: RemoteConfig, served: list[str]) -> str:
    wanted = config.model
    if wanted is None and len(served) == 1:
        return served[0]
    if wanted is not None and wanted in served:
        return wanted
    named = ", ".join(served[:_MOST_NAMED]) or "none"
    problem = "serves several models: set PORTCULLIS_ENGINE_MODEL" if wanted is None else f"does not serve '{wanted}'"
    raise RemoteFault(Reason.ENGINE_UNAVAILABLE, f"{config.url} {problem} (it has {named})")
