"""Yes/no probes: what the policy asks of every frame, answered as log-probabilities."""

from collections import defaultdict
from collections.abc import Sequence

from app.domain import Answer, Frame, Needs, ProbeFinding, ProbeQuestion, ProbeReading, Question, QuestionKind, Status
from app.signals.answers import answer_to
from app.signals.base import FrameAnswers


class Probes:
    """Asks each probe in each of its languages of each frame."""

    name = "probes"

    def questions(self, needs: Needs, frame: Frame) -> list[Question]:
        return [
            Question(id=self._question_id(probe), kind=QuestionKind.YES_NO, prompt=probe.text) for probe in needs.probes
        ]

    def read(self, needs: Needs, frames: Sequence[Frame], answers: Sequence[FrameAnswers]) -> dict[str, ProbeFinding]:
        readings: defaultdict[str, list[ProbeReading]] = defaultdict(list)
        for frame, frame_answers in zip(frames, answers, strict=True):
            for probe in needs.probes:
                answer = answer_to(self._question_id(probe), frame_answers)
                readings[probe.probe].append(_reading(answer, frame.index, probe.language))
        return {name: ProbeFinding(readings=tuple(found)) for name, found in readings.items()}

    def _question_id(self, probe: ProbeQuestion) -> str:
        return f"{self.name}/{probe.probe}/{probe.language}"


def _reading(answer: Answer, frame: int, language: str) -> ProbeReading:
    status, reason = answer.status, answer.reason
    if status is Status.OK and (answer.log_yes is None or answer.log_no is None):
        status, reason = Status.FAILED, "the engine gave no probabilities"
    known = status is Status.OK
    return ProbeReading(
        frame=frame,
        language=language,
        status=status,
        reason=reason,
        log_yes=answer.log_yes if known else None,
        log_no=answer.log_no if known else None,
    )
