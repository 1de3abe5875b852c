"""What the API process and the engine process say to each other: length-prefixed frames on two pipes.

A frame is two big-endian 32-bit lengths, a JSON message and a payload (the RGB bytes of a picture). Questions go by
their place in the job, so that a job with a repeated question id still gets one answer for each.
"""

import asyncio
import struct
from typing import Annotated, BinaryIO, Literal, TypeVar

from pydantic import Field, TypeAdapter

from app.domain import QuestionKind, Status, Value
from app.engine.runtime import FlashAttention, KvType

_LENGTHS = struct.Struct(">II")
#: Far above any job of ours; a length beyond is a broken pipe's garbage, not a message.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_MAX_PAYLOAD_BYTES = 1024 * 1024 * 1024


Message = TypeVar("Message")


class BrokenFrame(Exception):
    """The other side wrote something that is not a frame."""


class Load(Value):
    """The first message: what to load. `threads` is resolved, `gpu_layers` -1 means all; `gpu` is the one that this
    process was made for, if any. With `form_of_model` the text
    around picture and question comes from the model's file, else it is given."""

    kind: Literal["load"] = "load"
    gpu: str | None = None
    model: str
    projector: str
    form_of_model: bool = False
    before_picture: str = ""
    after_picture: str = ""
    after_question: str = ""
    yes_words: tuple[str, ...]
    no_words: tuple[str, ...]
    picture_tokens: int
    gpu_layers: int
    threads: int
    context_tokens: int
    batch_tokens: int
    ubatch_tokens: int
    flash_attention: FlashAttention
    kv_type_k: KvType
    kv_type_v: KvType
    mmap: bool
    mlock: bool
    parallel_questions: int
    parallel_pictures: int
    remembered_bytes: int
    draft_tokens: int


class AskedQuestion(Value):
    """`number` is the question's place in the job as the caller made it. `grammar` (GBNF) holds a generated answer,
    which is then JSON; else it ends before the first of the texts in `stop`."""

    number: int
    kind: QuestionKind
    prompt: str
    max_tokens: int
    choices: tuple[str, ...] = ()
    grammar: str | None = None
    stop: tuple[str, ...] = ()


class Ask(Value):
    """A job; its picture is the payload. Where it has a `text` instead, there is neither picture nor payload: the text
    is what stands before each question, and control tokens in it are not parsed. The clocks of two processes are not
    compared: `remaining_s` counts from when the engine process reads this. The smaller `priority` goes first."""

    kind: Literal["ask"] = "ask"
    job: int
    width: int
    height: int
    text: str | None = None
    remaining_s: float
    priority: int = 0
    questions: tuple[AskedQuestion, ...]


class Cancel(Value):
    """Of the whole job, or of the questions with these numbers alone. Nothing is said of them any more."""

    kind: Literal["cancel"] = "cancel"
    job: int
    numbers: tuple[int, ...] | None = None


class Held(Value):
    """What lies where: `device` and `use` are llama.cpp's words."""

    device: str
    use: str
    bytes: int


class Ready(Value):
    """The model answers, and this is what was chosen in the end. `resident_bytes` is what the process holds in RAM now;
    `longest_call_s` about the longest that one call of llama.cpp can take, by what a small one took."""

    kind: Literal["ready"] = "ready"
    description: str
    gpu_layers: int
    threads: int
    context_tokens: int
    batch_tokens: int
    ubatch_tokens: int
    flash_attention: FlashAttention
    kv_type_k: KvType
    kv_type_v: KvType
    mmap: bool
    mlock: bool
    parallel_questions: int
    parallel_pictures: int
    memory: tuple[Held, ...]
    resident_bytes: int
    load_s: float
    warm_up_s: float
    longest_call_s: float
    draft_tokens: int

    def chosen(self) -> dict[str, object]:
        """For the log: memory in MiB, summed by device and use, seconds to the hundredth."""
        said: dict[str, object] = self.model_dump(exclude={"kind", "memory", "resident_bytes"})
        said |= {name: round(getattr(self, name), 2) for name in ("load_s", "warm_up_s", "longest_call_s")}
        said["memory_mib"] = {f"{held.device} {held.use}": round(held.bytes / 2**20, 1) for held in self.memory}
        said["resident_mib"] = round(self.resident_bytes / 2**20)
        return said


class Refused(Value):
    """The model could not be loaded; the process ends. `code` is that of an EngineError."""

    kind: Literal["refused"] = "refused"
    code: str
    detail: str


class Answered(Value):
    """One question's end, as in `app.domain.Answer`."""

    kind: Literal["answered"] = "answered"
    job: int
    number: int
    status: Status
    reason: str | None = None
    log_yes: float | None = None
    log_no: float | None = None
    text: str | None = None
    truncated: bool = False
    log_choices: tuple[float, ...] | None = None


class Started(Value):
    """The job's picture is about to be touched: if the process dies before `Done`, this job may be why."""

    kind: Literal["started"] = "started"
    job: int


class Done(Value):
    """The job's end: nothing more will be said of it. Times are milliseconds in the engine process. Since the last
    `Done`: the longest turn, and the tokens of drafts that were read and, of these, said."""

    kind: Literal["done"] = "done"
    job: int
    picture_tokens: int = 0
    total_ms: float = 0.0
    longest_turn_ms: float = 0.0
    drafted_tokens: int = Field(0, ge=0)
    foreseen_tokens: int = Field(0, ge=0)


ToEngine = Load | Ask | Cancel
FromEngine = Ready | Refused | Started | Answered | Done

_TO_ENGINE: TypeAdapter[ToEngine] = TypeAdapter(Annotated[ToEngine, Field(discriminator="kind")])
_FROM_ENGINE: TypeAdapter[FromEngine] = TypeAdapter(Annotated[FromEngine, Field(discriminator="kind")])


def frame(message: ToEngine | FromEngine, payload_bytes: int = 0) -> bytes:
    """The frame up to its payload, which the caller writes after it."""
    body = message.model_dump_json().encode()
    return _LENGTHS.pack(len(body), payload_bytes) + body


async def receive(reader: asyncio.StreamReader) -> FromEngine:
    """The engine's next message. Raises BrokenFrame, or IncompleteReadError when the pipe ended."""
    body_bytes, payload_bytes = _lengths(await reader.readexactly(_LENGTHS.size))
    body = await reader.readexactly(body_bytes)
    await reader.readexactly(payload_bytes)
    return _parse(_FROM_ENGINE, body)


def read(pipe: BinaryIO) -> tuple[ToEngine, bytes] | None:
    """The API process's next message and its payload; None when the pipe ended. Blocks. Raises BrokenFrame."""
    head = pipe.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    body_bytes, payload_bytes = _lengths(head)
    body, payload = pipe.read(body_bytes), pipe.read(payload_bytes)
    if len(body) < body_bytes or len(payload) < payload_bytes:
        return None
    return _parse(_TO_ENGINE, body), payload


def _lengths(head: bytes) -> tuple[int, int]:
    body_bytes, payload_bytes = _LENGTHS.unpack(head)
    if body_bytes > _MAX_MESSAGE_BYTES or payload_bytes > _MAX_PAYLOAD_BYTES:
        raise BrokenFrame(f"a frame of {body_bytes} + {payload_bytes} bytes")
    return body_bytes, payload_bytes


def _parse(adapter: TypeAdapter[Message], body: bytes) -> Message:
    try:
        return adapter.validate_json(body)
    except ValueError as error:
        # The text of the message may quote an answer: only its length is said.
        raise BrokenFrame(f"a message of {len(body)} bytes is not one of ours") from error
