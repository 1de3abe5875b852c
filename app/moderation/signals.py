"""Everything that can be asked of an upload."""

from dataclasses import dataclass

from app.domain import Frame, Needs, Question, Writing, WrittenText, in_parts
from app.signals.base import CodeReader, KeywordMatcher, ModelTextSignal, ProbeSignal, SceneSignal, TextReader


@dataclass(frozen=True, slots=True)
class Signals:
    reader: TextReader
    codes: CodeReader
    matcher: KeywordMatcher
    probes: ProbeSignal
    scene: SceneSignal
    model_text: ModelTextSignal

    def questions(self, needs: Needs, about: Frame | WrittenText) -> tuple[Question, ...]:
        """What the model is asked about one frame, or one part of the text: all model signals in one job."""
        if isinstance(about, WrittenText):
            return tuple(self.probes.text_questions(needs))
        asked = [signal.questions(needs, about) for signal in (self.probes, self.model_text, self.scene)]
        return tuple(question for questions in asked for question in questions)

    def prompts(self, needs: Needs, first: Frame) -> tuple[Question, ...]:
        """Every question that is put, once, whether or not the upload has a text. `first` is its first frame, of which
        each kind of question is asked that is asked of a frame."""
        return (*self.questions(needs, first), *self.probes.text_questions(needs))

    def writing(self, needs: Needs, caption: str | None) -> Writing:
        """What the uploader wrote, where it is asked about."""
        return in_parts(caption) if self.probes.text_questions(needs) else Writing()
