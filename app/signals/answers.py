"""Reading answers that may be missing."""

from app.domain import Answer, Status
from app.signals.base import FrameAnswers

#: The reason of a question that the engine had not answered when the deadline came.
NO_ANSWER = "no answer by the deadline"


def answer_to(question_id: str, answers: FrameAnswers) -> Answer:
    """The answer, or a timeout where there is none: silence is never read as "no"."""
    return answers.get(question_id) or Answer(question_id=question_id, status=Status.TIMEOUT, reason=NO_ANSWER)
