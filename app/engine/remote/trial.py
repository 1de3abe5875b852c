"""Whether a server can do what is asked of it: it serves the model, looks at a picture, and tells of its logarithms."""

import contextlib
import math
from dataclasses import dataclass, replace

from app.domain import Answer, Question, QuestionKind
from app.engine.base import Reason
from app.engine.remote.asking import COMPLETIONS
from app.engine.remote.client import Client, Refused
from app.engine.remote.config import RemoteConfig
from app.engine.remote.faults import RemoteFault
from app.engine.remote.grey import grey
from app.engine.remote.reading import read_answer, tells_its_choice
from app.engine.remote.wire import read_completion, read_models, request_body

_QUESTION = Question("trial", QuestionKind.YES_NO, "Is this image grey? Answer Yes or No.")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Served:
    """`top_logprobs`: how many the server lists when asked for the configured number. `mass`: how much of its answer to
    a yes/no question was yes or no; 0 where that cannot be read."""

    model: str
    top_logprobs: int
    mass: float


async def try_server(config: RemoteConfig, client: Client) -> Served:
    """Raises RemoteFault with a sentence for the operator."""
    try:
        model = _chosen(config, read_models(await client.get("/models", timeout_s=config.timeout_s)))
        body = request_body(model, _QUESTION, grey(), top_logprobs=config.top_logprobs)
        completion = read_completion(await client.post(COMPLETIONS, body, timeout_s=config.timeout_s))
    except TimeoutError as error:
        detail = f"{config.url} did not answer within {config.timeout_s:g} s"
        raise RemoteFault(Reason.ENGINE_TIMEOUT, detail) from error
    except Refused as refused:
        said = f": {refused.said}" if refused.said else ""
        raise RemoteFault(refused.reason, f"{refused.detail}{said}") from refused
    listed = completion.listed
    if not listed:
        raise RemoteFault(Reason.NO_LOGPROBS, f"{config.url} answers without top_logprobs: see docs/engine.md")
    if tells_its_choice(listed):
        detail = f"{config.url} lists its choice as certain instead of the model's logprobs: see docs/engine.md"
        raise RemoteFault(Reason.NO_LOGPROBS, detail)
    answer = read_answer(_QUESTION, completion, config.words, config.top_logprobs)
    return Served(model, len(listed), _mass(answer))


def _mass(answer: Answer) -> float:
    """How much of the answer was yes or no."""
    logs = (answer.log_yes, answer.log_no)
    return math.fsum(math.exp(log) for log in logs if log is not None)


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
