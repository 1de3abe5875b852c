"""Text read by the resident model: a second reader beside RapidOCR, without boxes or confidences."""

from collections.abc import Sequence

from app.domain import Frame, Needs, Question, QuestionKind, Status, TextFinding, TextLine
from app.signals.answers import answer_to
from app.signals.base import FrameAnswers

_PROMPT = "Read all text in this image, line by line. Answer with the text only."

#: About ten lines. A longer text is cut, and the finding then says that there was more.
_MAX_TOKENS = 192

_NOT_ASKED = "not asked"
_CUT = f"the text is longer than {_MAX_TOKENS} tokens; what was read is kept"


class ModelText:
    name = "model_text"

    def questions(self, needs: Needs, frame: Frame) -> list[Question]:
        if not needs.model_text:
            return []
        return [Question(id=self.name, kind=QuestionKind.GENERATE, prompt=_PROMPT, max_tokens=_MAX_TOKENS)]

    def read(self, needs: Needs, frames: Sequence[Frame], answers: Sequence[FrameAnswers]) -> TextFinding:
        if not needs.model_text:
            return TextFinding(status=Status.SKIPPED, reason=_NOT_ASKED)
        status, reason = Status.OK, None
        lines: list[TextLine] = []
        seen: set[str] = set()
        for frame, frame_answers in zip(frames, answers, strict=True):
            answer = answer_to(self.name, frame_answers)
            if answer.status is not Status.OK:
                status, reason = answer.status, answer.reason
            elif answer.truncated:
                status, reason = Status.FAILED, _CUT
            for text in (answer.text or "").splitlines():
                if text.strip() and text not in seen:
                    seen.add(text)
                    lines.append(TextLine(text=text, frame=frame.index))
        return TextFinding(status=status, reason=reason, lines=tuple(lines))
