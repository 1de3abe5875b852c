"""Everything that can be asked of a picture."""

from dataclasses import dataclass

from app.domain import Frame, Needs, Question
from app.signals.base import CodeReader, KeywordMatcher, ModelTextSignal, ProbeSignal, SceneSignal, TextReader


@dataclass(frozen=True, slots=True)
class Signals:
    reader: TextReader
    codes: CodeReader
    matcher: KeywordMatcher
    probes: ProbeSignal
    scene: SceneSignal
    model_text: ModelTextSignal

    def questions(self, needs: Needs, frame: Frame) -> tuple[Question, ...]:
        """What the model is asked about one frame: all model signals in one job."""
        asked = [signal.questions(needs, frame) for signal in (self.probes, self.model_text, self.scene)]
        return tuple(question for questions in asked for question in questions)
