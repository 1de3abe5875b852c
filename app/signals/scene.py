"""The scene description: what the model sees in the first frame, in a sentence or two."""

from collections.abc import Sequence

from app.domain import Frame, Needs, Question, QuestionKind, SceneFinding, Status
from app.signals.answers import answer_to
from app.signals.base import FrameAnswers

_PROMPT = "Describe the image."

#: Enough for two sentences; a longer description costs a decode step a token and tells a reviewer little more.
_MAX_TOKENS = 48

#: The reason of a description that the policy does not ask for.
_NOT_ASKED = "not asked"


class Scene:
    name = "scene"

    def questions(self, needs: Needs, frame: Frame) -> list[Question]:
        if not needs.describe or frame.index != 0:
            return []
        return [Question(id=self.name, kind=QuestionKind.GENERATE, prompt=_PROMPT, max_tokens=_MAX_TOKENS)]

    def read(self, needs: Needs, frames: Sequence[Frame], answers: Sequence[FrameAnswers]) -> SceneFinding:
        if not needs.describe:
            return SceneFinding(status=Status.SKIPPED, reason=_NOT_ASKED)
        first = next(found for frame, found in zip(frames, answers, strict=True) if frame.index == 0)
        answer = answer_to(self.name, first)
        return SceneFinding(status=answer.status, reason=answer.reason, description=answer.text)
