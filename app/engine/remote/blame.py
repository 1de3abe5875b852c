"""Whether a server that did not answer a question would answer any about that picture or text.

No two servers say in the same words what they refuse, and some say 500 of a picture that is too large for them. So the
barest question is asked: what is refused of that is refused for the picture's sake, since whatever else is asked of it
is longer. Where it meets a fault of the server's own, the same is asked of a picture that is known to be answered.
"""

from enum import Enum, auto

from app.domain import Question, QuestionKind
from app.engine.base import Reason
from app.engine.remote.asking import Asking
from app.engine.remote.doubt import Doubt
from app.engine.remote.grey import grey
from app.engine.remote.shown import Shown

#: After these it is worth asking. All else (too busy, too late, not there) says nothing of the picture.
TELLING = frozenset({Reason.ENGINE_REFUSED, Reason.ENGINE_FAULT})
#: A token to read and one to write; without logarithms, schema and stops, which might be refused for themselves.
_BARE = Question("bare", QuestionKind.GENERATE, "?", 1)


class Blame(Enum):
    SUBJECT = auto()
    """Nothing about it will be answered."""
    QUESTION = auto()
    """The server takes it, and holds it now."""
    SERVER = auto()
    """It fails at any."""
    UNKNOWN = auto()


async def blame(asking: Asking, model: str, subject: Shown, deadline_at: float) -> Blame:
    """Takes one request, two after a fault of the server's own, of which the second alone can count against it."""
    fault = await asking.fault(model, _BARE, subject, deadline_at, Doubt(0))
    if fault is None:
        return Blame.QUESTION
    if fault.reason is Reason.ENGINE_REFUSED:
        return Blame.SUBJECT
    if fault.reason is not Reason.ENGINE_FAULT:
        return Blame.UNKNOWN
    fault = await asking.fault(model, _BARE, grey(), deadline_at, Doubt(None))
    if fault is None:
        return Blame.SUBJECT
    return Blame.SERVER if fault.reason in TELLING else Blame.UNKNOWN
