"""Yes/no probes: what the policy asks of every frame, and of what the uploader wrote, answered as log-probabilities."""

from collections import defaultdict
from collections.abc import Sequence

from app.domain import (
    Answer,
    Frame,
    Needs,
    ProbeFinding,
    ProbeQuestion,
    ProbeReading,
    Question,
    QuestionKind,
    Status,
    Subject,
    Writing,
)
from app.signals.answers import answer_to
from app.signals.base import FrameAnswers

#: Why the end of a text has no answer: it is longer than what is looked at of one.
TRUNCATED = "truncated: the text goes on after the part that is looked at"
_NO_WRITING = Writing()


class Probes:
    """Asks each probe in each of its languages, of each frame or of each part of the text."""

    name = "probes"

    def questions(self, needs: Needs, frame: Frame) -> list[Question]:
        return [self._question(probe) for probe in _asked_of(needs, Subject.PICTURE)]

    def text_questions(self, needs: Needs) -> list[Question]:
        return [self._question(probe) for probe in _asked_of(needs, Subject.TEXT)]

    def read(
        self,
        needs: Needs,
        frames: Sequence[Frame],
        answers: Sequence[FrameAnswers],
        writing: Writing = _NO_WRITING,
        text_answers: Sequence[FrameAnswers] = (),
    ) -> dict[str, ProbeFinding]:
        """A probe that is asked of texts alone has no finding where there is none."""
        readings: defaultdict[str, list[ProbeReading]] = defaultdict(list)
        for frame, frame_answers in zip(frames, answers, strict=True):
            for probe in _asked_of(needs, Subject.PICTURE):
                answer = answer_to(self._question_id(probe), frame_answers)
                readings[probe.probe].append(_reading(answer, probe, frame=frame.index))
        for part, (_, part_answers) in enumerate(zip(writing.parts, text_answers, strict=True)):
            for probe in _asked_of(needs, Subject.TEXT):
                answer = answer_to(self._question_id(probe), part_answers)
                readings[probe.probe].append(_reading(answer, probe, text_part=part))
        if writing.cut:
            for probe in _asked_of(needs, Subject.TEXT):
                rest = Answer(question_id=self._question_id(probe), status=Status.FAILED, reason=TRUNCATED)
                readings[probe.probe].append(_reading(rest, probe, text_part=len(writing.parts)))
        return {name: ProbeFinding(readings=tuple(found)) for name, found in readings.items()}

    def _question(self, probe: ProbeQuestion) -> Question:
        return Question(id=self._question_id(probe), kind=QuestionKind.YES_NO, prompt=probe.text)

    def _question_id(self, probe: ProbeQuestion) -> str:
        of = "" if probe.subject is Subject.PICTURE else f"/{probe.subject.value}"
        return f"{self.name}/{probe.probe}/{probe.language}{of}"


def _asked_of(needs: Needs, subject: Subject) -> list[ProbeQuestion]:
    return [probe for probe in needs.probes if probe.subject is subject]


def _reading(answer: Answer, probe: ProbeQuestion, *, frame: int = 0, text_part: int | None = None) -> ProbeReading:
    status, reason = answer.status, answer.reason
    if status is Status.OK and (answer.log_yes is None or answer.log_no is None):
        status, reason = Status.FAILED, "the engine gave no probabilities"
    known = status is Status.OK
    return ProbeReading(
        frame=frame,
        language=probe.language,
        status=status,
        reason=reason,
        log_yes=answer.log_yes if known else None,
        log_no=answer.log_no if known else None,
        text_part=text_part,
    )
