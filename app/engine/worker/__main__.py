"""`python -m app.engine.worker`: load what the first message names, then answer jobs until the pipe closes."""

import os
import sys
import time
from typing import NoReturn

from app.domain import Status
from app.engine.base import Reason
from app.engine.worker import decode, logs, model, picture
from app.engine.worker.channel import Channel
from app.engine.worker.job import Job, Stop
from app.engine.worker.protocol import Answered, Ask, Done, Load, Ready, Refused
from app.engine.worker.resident import Resident, load_resident
from app.errors import EngineError

_REFUSED_EXIT = 3


def main() -> None:
    channel = Channel()
    channel.start()
    order, _ = channel.next()
    if not isinstance(order, Load):
        raise TypeError("the first message must say what to load")
    started = time.monotonic()
    try:
        resident = load_resident(order)
    except EngineError as error:
        channel.send(Refused(code=error.code, detail=error.detail))
        _leave(_REFUSED_EXIT)
    channel.send(_ready(resident, order, time.monotonic() - started))
    logs.only_trouble()
    while True:
        ask, rgb = channel.next()
        if isinstance(ask, Ask):
            channel.send(_answer(channel, resident, ask, rgb))
            channel.done(ask.job)


def _answer(channel: Channel, resident: Resident, ask: Ask, rgb: bytes) -> Done:
    """Every question gets its answer, unless the job was cancelled: then nobody listens."""
    started = time.monotonic()
    deadline = started + ask.remaining_s
    job = Job(resident, ask, channel.send)
    status, reason, faulty = Status.FAILED, Reason.ENGINE_FAULT, True
    try:
        job.run(rgb, lambda: channel.cancelled(ask.job) or time.monotonic() >= deadline)
        faulty = False
    except Stop:
        status, reason, faulty = Status.TIMEOUT, Reason.DEADLINE, False
    except picture.Fault as fault:
        logs.log("E", f"a job failed: {fault}")
    except Exception as error:  # one job's mistake must not end the process that others wait for
        logs.log("E", f"a job failed: {type(error).__name__}")
    for number in list(job.open):
        channel.send(Answered(job=ask.job, number=number, status=status, reason=reason))
    decode.forget(resident.model, wipe=faulty or job.tainted)
    return Done(job=ask.job, picture_tokens=job.picture_tokens, total_ms=(time.monotonic() - started) * 1000)


def _ready(resident: Resident, order: Load, load_s: float) -> Ready:
    loaded = resident.model
    return Ready(
        description=model.describe(loaded.model),
        gpu_layers=loaded.gpu_layers,
        context_tokens=loaded.context_tokens,
        parallel_questions=loaded.parallel_questions,
        threads=order.threads,
        model_bytes=model.model_bytes(loaded.model),
        resident_bytes=model.resident_bytes(),
        load_s=load_s,
    )


def _leave(code: int) -> NoReturn:
    """Without llama.cpp's destructors, which have nothing to save and can crash after a failed load."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
