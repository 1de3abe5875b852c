"""One picture before the first job: what cannot run says so at the start, and how long a step takes is known."""

import time

from app.engine.worker import decode, picture
from app.engine.worker.encodings import Encodings
from app.engine.worker.protocol import Ask
from app.engine.worker.resident import Resident
from app.errors import EngineUnavailable

_SIDE_PX = 256
#: Attention makes a picture of twice the tokens cost more than twice as much.
_GROWTH = 2.0


def warm_up(resident: Resident) -> float:
    """About the longest that one call of llama.cpp takes, in seconds: that of the largest picture or the largest step,
    reckoned up from a small one. Raises EngineUnavailable when the model cannot run."""
    asked = Ask(job=0, width=_SIDE_PX, height=_SIDE_PX, remaining_s=0.0, questions=())
    try:
        prefix = picture.tokenize(resident.model, resident.form, asked, b"\x80" * (_SIDE_PX * _SIDE_PX * 3))
    except decode.Fault as fault:
        raise EngineUnavailable(f"the model cannot take a picture: {fault}") from fault
    try:
        slowest_s = _slowest_step_s(resident, prefix)
    except (decode.Fault, picture.UnusableEncoding) as fault:
        raise EngineUnavailable(
            f"the model loads but cannot run: {str(fault) or 'the projector gives no numbers'}"
        ) from fault
    finally:
        prefix.close()
        decode.forget(resident.model, wipe=True)
    largest = max(resident.form.picture_tokens, resident.model.step_tokens)
    return slowest_s * max(1.0, largest / max(1, prefix.picture_tokens)) * _GROWTH


def _slowest_step_s(resident: Resident, prefix: picture.Prefix) -> float:
    slowest_s, began = 0.0, time.monotonic()
    for _ in picture.evaluate(resident.model, Encodings(0), prefix, decode.OPENING_SEQUENCE, 0):
        slowest_s = max(slowest_s, time.monotonic() - began)
        began = time.monotonic()
    return slowest_s
