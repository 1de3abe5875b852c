"""What can be told of a job before the model runs: whether its picture and its questions fit."""

from collections.abc import Callable

from app.engine.base import Reason
from app.engine.worker import decode, logs, picture, subject
from app.engine.worker.job import Job
from app.engine.worker.protocol import Started
from app.engine.worker.resident import Resident
from app.engine.worker.room import Room
from app.engine.worker.written import TextTooLong


class Admission:
    def __init__(self, resident: Resident, room: Room, say: Callable[[Started], None]) -> None:
        self._model, self._form, self._tokenizer = resident.model, resident.form, resident.tokenizer
        self._room = room
        self._say = say

    def look_at(self, job: Job) -> bool:
        """Ends the questions that can never be answered. False while there is more to look at, in another turn. Raises
        nothing: a job that is no job would be looked at again and again."""
        try:
            return self._look_at(job)
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
        return True

    def _look_at(self, job: Job) -> bool:
        if job.prefix is None:
            self._say(Started(job=job.ask.job))
            job.refuse_empty_answers()
            if not job.open:
                return True
            job.prefix = subject.tokenize(self._model, self._tokenizer, self._form, job.ask, job.rgb)
            job.rgb = b""
        if job.prepared:
            return True
        left = self._room.left_beside(job.prefix)
        return job.prepare(self._tokenizer, self._form.after_question, left, self._model.window_tokens)
