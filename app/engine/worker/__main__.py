"""`python -m app.engine.worker`: load what the first message names, then answer jobs until the pipe closes."""

import os
import sys
import time
from typing import NoReturn

from app.engine.worker import drafting, logs, memory, model
from app.engine.worker.channel import Channel, Order
from app.engine.worker.protocol import Ask, Cancel, Load, Ready, Refused
from app.engine.worker.resident import Resident, load_resident
from app.engine.worker.scheduler import Scheduler
from app.engine.worker.warm_up import Warm, warm_up
from app.errors import EngineError

_REFUSED_EXIT = 3


def main() -> None:
    channel = Channel()
    channel.start()
    order = channel.next().message
    if not isinstance(order, Load):
        raise TypeError("the first message must say what to load")
    started = time.monotonic()
    try:
        resident = load_resident(order)
        loaded = time.monotonic()
        warm = warm_up(resident)
    except EngineError as error:
        channel.send(Refused(code=error.code, detail=error.detail))
        _leave(_REFUSED_EXIT)
    warm_up_s = time.monotonic() - loaded
    scheduler = Scheduler(resident, channel.send, pace=warm.pace)
    channel.send(_ready(resident, order, warm, load_s=loaded - started, warm_up_s=warm_up_s))
    logs.only_trouble()
    while True:
        if not scheduler.busy:
            _pass_on(scheduler, channel.next())
        for arrived in channel.arrived():
            _pass_on(scheduler, arrived)
        scheduler.turn()


def _pass_on(scheduler: Scheduler, order: Order) -> None:
    if isinstance(order.message, Ask):
        scheduler.submit(order.message, order.payload, began=order.at)
    elif isinstance(order.message, Cancel):
        scheduler.cancel(order.message.job, order.message.numbers)


def _ready(resident: Resident, order: Load, warm: Warm, *, load_s: float, warm_up_s: float) -> Ready:
    loaded = resident.model
    return Ready(
        description=model.describe(loaded.model),
        gpu_layers=loaded.gpu_layers,
        threads=order.threads,
        context_tokens=loaded.context_tokens,
        batch_tokens=loaded.batch_tokens,
        ubatch_tokens=loaded.step_tokens,
        flash_attention=logs.account.flash_attention(order.flash_attention),
        kv_type_k=order.kv_type_k,
        kv_type_v=order.kv_type_v,
        mmap=order.mmap,
        mlock=order.mlock,
        parallel_questions=order.parallel_questions,
        parallel_pictures=order.parallel_pictures,
        memory=logs.account.held(),
        resident_bytes=memory.resident_bytes(),
        load_s=load_s,
        warm_up_s=warm_up_s,
        longest_call_s=warm.longest_call_s,
        draft_tokens=drafting.most_tokens(loaded, order.draft_tokens),
    )


def _leave(code: int) -> NoReturn:
    """Without llama.cpp's destructors, which have nothing to save and can crash after a failed load."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
