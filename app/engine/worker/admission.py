"""What can be told of a job before the model runs: whether its picture and its questions fit."""

from collections.abc import Callable

from app.engine.base import Reason
from app.engine.worker import decode, logs, picture, subject
from app.engine.worker.job import Job
from app.engine.worker.protocol import Started
from app.engine.worker.resident import Resident
from app.engine.worker.room import Room
from app.engine.worker.written import TextTooLong

#: So long are the questions of one job made tokens at a stretch: the running answers wait meanwhile.
_STRETCH_S = 0.01


class Admission:
    def __init__(
        self, resident: Resident, room: Room, say: Callable[[Started], None], clock: Callable[[], float]
    ) -> None:
        self._model, self._form, self._tokenizer = resident.model, resident.form, resident.tokenizer
        self._room = room
        self._say, self._clock = say, clock

    def look_at(self, job: Job) -> None:
        """Ends the questions that can never be answered. A job that is not `prepared` then has more of them, for
        another turn. Raises nothing: a job that is no job would be looked at again and again."""
        try:
            self._look_at(job)
        except TextTooLong:
            job.fail_all(Reason.TEXT_TOO_LONG)
        except picture.TooLarge as error:
            logs.log("E", f"a picture was refused: {error}")
            job.fail_all(Reason.PICTURE_TOO_LARGE)
        except decode.Fault as fault:
            logs.log("E", f"a picture was refused: {fault}")
            job.fail_all(Reason.ENGINE_FAULT)
        except Exception as error:
            logs.log("E", f"a job was refused: {type(error).__name__}")
            job.fail_all(Reason.ENGINE_FAULT)

    def _look_at(self, job: Job) -> None:
        if job.prefix is None:
            self._say(Started(job=job.ask.job))
            job.refuse_empty_answers()
            if not job.open:
                return
            job.prefix = subject.tokenize(self._model, self._tokenizer, self._form, job.ask, job.rgb)
            job.rgb = b""
        left = self._room.left_beside(job.prefix)
        if left < 1:
            job.fail_all(Reason.PICTURE_TOO_LARGE if job.ask.text is None else Reason.TEXT_TOO_LONG)
        began = self._clock()
        while job.open and not job.prepared:
            job.prepare_next(self._tokenizer, self._form.after_question, left, self._model.window_tokens)
            if self._clock() - began >= _STRETCH_S:
                return
