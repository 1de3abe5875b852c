"""What goes over the wire, in the shape of OpenAI's chat completions, and what may come back. Pure."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.domain import Question, QuestionKind
from app.engine.base import Reason
from app.engine.remote.faults import RemoteFault
from app.engine.remote.plain import plain
from app.engine.remote.shown import Shown
from app.engine.remote.structured import response_format

#: Longer lists and names are nobody's: a bound for what a broken server may make us hold.
_MOST_ENTRIES = 4096
_MOST_TOKENS = 1 << 24
#: vLLM's and SGLang's words for a request that they dropped, or failed at.
_GIVEN_UP = {"abort", "error"}
#: Tokens of an answer without a word: some count the one that ends it.
_NO_WORD = (0, 1)

_PICTURE = '{"type": "image_url", "image_url": {"url": "'
_PICTURE_END = '"}}, '


class _Wire(BaseModel):
    """Fields that nobody asked for are passed over: every server adds its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class TopLogprob(_Wire):
    """`bytes` are the token's own, where the server gives them: `token` may hold a replacement character instead. A
    logarithm of null is that of zero."""

    token: str
    logprob: float | None
    bytes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=1024)] | None = None


class TokenLogprob(_Wire):
    top_logprobs: Annotated[list[TopLogprob], Field(max_length=_MOST_ENTRIES)] | None = None


class Logprobs(_Wire):
    content: Annotated[list[TokenLogprob], Field(max_length=_MOST_ENTRIES)] | None = None


class Message(_Wire):
    """Besides what was said: what servers say instead, or before it, of whatever type."""

    content: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: Any = None
    tool_calls: Any = None

    @property
    def thought(self) -> bool:
        return bool(self.reasoning or self.reasoning_content)


class Choice(_Wire):
    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Completion(_Wire):
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1)]
    usage: dict[str, Any] | None = None

    @property
    def choice(self) -> Choice:
        return self.choices[0]

    @property
    def listed(self) -> list[TopLogprob] | None:
        """The likeliest first tokens."""
        tokens = self.choice.logprobs.content if self.choice.logprobs is not None else None
        return tokens[0].top_logprobs if tokens else None

    @property
    def given_up(self) -> bool:
        """By the server, on its way: whatever is there is not the whole answer."""
        return self.choice.finish_reason in _GIVEN_UP

    @property
    def text(self) -> str | None:
        """What was said. SGLang wrote null for no word at all, others write it for what they said elsewhere or lost: it
        is no word only where no more than the end was generated."""
        message = self.choice.message
        generated = (self.usage or {}).get("completion_tokens")
        instead = message.thought or message.refusal or message.tool_calls
        nothing = self.choice.finish_reason == "stop" and generated in _NO_WORD and not instead
        return "" if message.content is None and nothing else message.content

    @property
    def prompt_tokens(self) -> tuple[int, int]:
        """How many the server read, and how many it had in its cache; zeros where it does not say."""
        usage = self.usage or {}
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        told = usage.get("prompt_tokens")
        if not isinstance(told, int) or not isinstance(cached, int) or not 0 <= cached <= told <= _MOST_TOKENS:
            return 0, 0
        return told - cached, cached


class ServedModel(_Wire):
    id: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class ServedModels(_Wire):
    data: Annotated[list[ServedModel], Field(max_length=_MOST_ENTRIES)]


def request_body(model: str, question: Question, subject: Shown, *, top_logprobs: int) -> bytes:
    """The picture, or the text, before the question, so that all questions of one begin alike and the server computes
    that beginning once. Nothing is sampled: the likeliest token each time.

    A picture's URI goes in as it is: to encode its megabytes for each question would take longer than all the rest.
    """
    options: dict[str, Any] = {"temperature": 0, "top_p": 1, "stream": False}
    if question.kind is QuestionKind.GENERATE:
        options["max_tokens"] = question.max_tokens
        if question.json_schema is not None:
            options["response_format"] = response_format(question.json_schema)
        if question.stop:
            options["stop"] = list(question.stop)
    else:
        options |= {"max_tokens": 1, "logprobs": True, "top_logprobs": top_logprobs}
    before = f'{{"model": {json.dumps(model)}, "messages": [{{"role": "user", "content": ['
    # A text and its question are one piece: templates put what they like between two.
    said = plain(f"{subject}{question.prompt}" if isinstance(subject, str) else question.prompt)
    picture = () if isinstance(subject, str) else (_PICTURE.encode(), subject, _PICTURE_END.encode())
    after = f'{{"type": "text", "text": {json.dumps(said)}}}]}}], {json.dumps(options)[1:]}'
    return b"".join((before.encode(), *picture, after.encode()))


def read_completion(data: bytes) -> Completion:
    """Raises RemoteFault for anything else."""
    try:
        return Completion.model_validate_json(data)
    except ValidationError as error:
        raise RemoteFault(Reason.MALFORMED_ANSWER, "the server's answer is no chat completion", harm=True) from error


def read_models(data: bytes) -> list[str]:
    """The ids, each fit for a log line. Raises RemoteFault."""
    try:
        ids = [served.id for served in ServedModels.model_validate_json(data).data]
    except ValidationError as error:
        raise RemoteFault(Reason.MALFORMED_ANSWER, "the server's list of models is none", harm=True) from error
    if not all(name.isprintable() for name in ids):
        raise RemoteFault(Reason.MALFORMED_ANSWER, "a model of the server has an unprintable name", harm=True)
    return ids
