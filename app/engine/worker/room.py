"""The context's cells and sequences: who holds which, and the opening of the prompt that all pictures share."""

from collections.abc import Collection

from app.engine.worker import decode
from app.engine.worker.job import Asking, Job
from app.engine.worker.ledger import NOTHING, Account, Kept, Ledger
from app.engine.worker.model import Model
from app.engine.worker.protocol import Load
from app.engine.worker.subject import Prefix

#: About what an upload's questions, their answers and the text around them take: six probes, a text, a description.
_QUESTIONS_TOKENS = 256


class Room:
    """Its size is known from the first picture on.

    Some of it is `kept` for synchronous jobs: bulk jobs leave the cells of a largest picture with an upload's questions
    free, and a quarter of the questions' sequences; of a small context half.
    """

    def __init__(self, model: Model, form: Load) -> None:
        self._model, self._form = model, form
        self._kept = NOTHING
        #: What the opening sequence holds. Fixed by the first picture; the same for nearly all.
        self._opening: tuple[int, ...] | None = None
        self._opening_is_in = False
        self._ledger = Ledger(0, 0)
        self._free: list[int] = []

    def left_beside(self, prefix: Prefix) -> int:
        """The most tokens that a question and its answer may have, by cells and by positions."""
        if self._opening is None:
            self._open(prefix.opening)
        # The opening is there once for all; cells of it that this picture does not share are lost to it.
        unshared = len(self._opening or ()) - self._shared(prefix)
        return min(self._model.sequence_tokens - prefix.positions, self._model.context_tokens - unshared - prefix.cells)

    def fits(self, job: Job, prefix: Prefix, *, keeps: bool, without: Collection[Job] = ()) -> bool:
        """Whether the job may enter once these have left; `keeps`: and what is kept stays free."""
        return self._ledger.fits(
            prefix.cells - self._shared(prefix),
            job.promised,
            kept=self._kept if keeps else NOTHING,
            without=[_account(other) for other in without],
        )

    def enter(self, job: Job, prefix: Prefix) -> int:
        """How many tokens of the picture's opening its sequence is to hold. The job fits."""
        shared = self._shared(prefix)
        job.account, job.sequence = self._ledger.open(prefix.cells - shared, job.promised), self._free.pop()
        return shared

    def share_opening(self, job: Job, shared: int) -> None:
        """Let the job's sequence begin with it. Raises Fault."""
        if not self._opening_is_in and self._opening:
            decode.feed(self._model, self._opening, 0, decode.OPENING_SEQUENCE)
        self._opening_is_in = True
        if shared:
            decode.fork(self._model, decode.OPENING_SEQUENCE, _sequence(job), shared)

    def begin_next(self, job: Job) -> Asking | None:
        """The job's next question, in a sequence forked from its picture's; None while there is no room for it."""
        if not job.waits:
            return None
        kept = NOTHING if job.urgent else self._kept
        if not self._ledger.take(_account(job), job.next_question.cells, job.promised_then, kept=kept):
            return None
        sequence = self._free.pop()
        decode.fork(self._model, _sequence(job), sequence)
        return job.begin_next(sequence)

    def give_back(self, job: Job, asking: Asking) -> None:
        """What a question held."""
        decode.drop(self._model, asking.sequence)
        self._free.append(asking.sequence)
        self._ledger.give(_account(job), asking.question.cells)
        del job.asking[asking.sequence]

    def leave(self, job: Job) -> None:
        """The questions have been given back before."""
        if job.sequence is not None:
            decode.drop(self._model, job.sequence)
            self._free.append(job.sequence)
        self._ledger.close(_account(job))

    def wipe(self) -> None:
        """Nobody is in."""
        decode.forget(self._model, wipe=True)
        self._opening_is_in = False

    def _open(self, opening: tuple[int, ...]) -> None:
        self._opening, self._opening_is_in = opening, False
        cells, sequences = self._model.context_tokens - len(opening), self._model.sequences - 1
        self._ledger = Ledger(cells, sequences)
        if self._form.parallel_pictures > 1:
            self._kept = Kept(
                cells=min(self._form.picture_tokens + _QUESTIONS_TOKENS, cells // 2),
                sequences=min(1 + self._form.parallel_questions // 4, sequences // 2),
            )
        self._free = list(range(self._model.sequences - 1, decode.OPENING_SEQUENCE, -1))

    def _shared(self, prefix: Prefix) -> int:
        """How many tokens of the opening are those that are kept."""
        kept = self._opening or ()
        pairs = zip(kept, prefix.opening, strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(kept), len(prefix.opening)))


def _account(job: Job) -> Account:
    assert job.account is not None  # noqa: S101 - for the type checker: it entered
    return job.account


def _sequence(job: Job) -> int:
    assert job.sequence is not None  # noqa: S101 - for the type checker: it entered
    return job.sequence
