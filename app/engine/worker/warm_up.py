"""One picture before the first job: what cannot run says so at the start, and how long a step takes is known."""

import time
from dataclasses import dataclass

from app.engine.worker import decode, picture
from app.engine.worker.encodings import Encodings
from app.engine.worker.model import Model
from app.engine.worker.pace import Pace
from app.engine.worker.protocol import Ask
from app.engine.worker.resident import Resident
from app.errors import EngineUnavailable

_SIDE_PX = 256
#: Attention makes a picture of twice the tokens cost more than twice as much.
_GROWTH = 2.0
#: Steps of so many tokens are timed: what they cost does not grow evenly.
_TIMED_TOKENS = (1, 2, 4, 8, 16)
#: So often, or two or three times where they are long. The first counts for nothing: a device prepares itself for it.
_TIMES = 4
_LONG_S = 0.1


@dataclass(frozen=True, slots=True)
class Warm:
    """`longest_call_s` is about the longest that one call of llama.cpp takes: that of the largest picture or the
    largest step, reckoned up from a small one."""

    longest_call_s: float
    pace: Pace


def warm_up(resident: Resident) -> Warm:
    """Raises EngineUnavailable when the model cannot run."""
    asked = Ask(job=0, width=_SIDE_PX, height=_SIDE_PX, remaining_s=0.0, questions=())
    try:
        prefix = picture.tokenize(resident.model, resident.form, asked, b"\x80" * (_SIDE_PX * _SIDE_PX * 3))
    except decode.Fault as fault:
        raise EngineUnavailable(f"the model cannot take a picture: {fault}") from fault
    try:
        slowest_s, end = _slowest_step_s(resident, prefix)
        pace = _pace(resident.model, end)
    except (decode.Fault, picture.UnusableEncoding) as fault:
        raise EngineUnavailable(
            f"the model loads but cannot run: {str(fault) or 'the projector gives no numbers'}"
        ) from fault
    finally:
        prefix.close()
        decode.forget(resident.model, wipe=True)
    largest = max(resident.form.picture_tokens, resident.model.step_tokens)
    return Warm(slowest_s * max(1.0, largest / max(1, prefix.picture_tokens)) * _GROWTH, pace)


def _slowest_step_s(resident: Resident, prefix: picture.Prefix) -> tuple[float, int]:
    """And the position after the picture."""
    slowest_s, end, began = 0.0, 0, time.monotonic()
    for position in picture.evaluate(resident.model, Encodings(0), prefix, decode.OPENING_SEQUENCE, 0):
        slowest_s, end = max(slowest_s, time.monotonic() - began), position
        began = time.monotonic()
    return slowest_s, end


def _pace(model: Model, end: int) -> Pace:
    """Sizes in turn, so that what disturbs the machine does not meet one of them, and none is at its best because it
    came before."""
    found: dict[int, list[float]] = {tokens: [] for tokens in _TIMED_TOKENS}
    for turn in range(_TIMES):
        for tokens, times_s in found.items():
            # Whether answers grow apart hangs on the first two.
            if turn < (3 if tokens <= 2 else 2) or times_s[1] < _LONG_S:  # noqa: PLR2004 - the first counts for nothing
                times_s.append(_seconds(model, tokens, end))
    return Pace(tuple((tokens, min(times_s[1:])) for tokens, times_s in found.items()))


def _seconds(model: Model, tokens: int, position: int) -> float:
    """Of a step of so many, as growing answers read them."""
    entries = [decode.entry(0, position + place, decode.OPENING_SEQUENCE, True) for place in range(tokens)]
    began = time.monotonic()
    for _ in decode.decode(model, entries):
        pass
    took_s = time.monotonic() - began
    decode.drop(model, decode.OPENING_SEQUENCE, position)
    return took_s
