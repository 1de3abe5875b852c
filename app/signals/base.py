"""The seam of the signals. A signal never raises through the pipeline and never invents a value: what it could not
find out is a status with a reason."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from app.domain import (
    Answer,
    CodesFinding,
    Frame,
    KeywordFinding,
    KeywordList,
    Needs,
    ProbeFinding,
    Question,
    SceneFinding,
    TextFinding,
    TextSource,
    Writing,
)

#: The answers to one frame's questions, by question id. A question that is missing here was never answered.
FrameAnswers = Mapping[str, Answer]

F_co = TypeVar("F_co", covariant=True)


class ModelSignal(Protocol[F_co]):
    """A signal that asks the resident model. It does not call the engine: the pipeline puts the questions of all
    model signals on one frame into one engine job and hands the answers back, frame by frame."""

    @property
    def name(self) -> str: ...

    def questions(self, needs: Needs, frame: Frame) -> list[Question]:
        """What to ask about this frame; question ids begin with `name` and are unique within the frame."""
        ...

    def read(self, needs: Needs, frames: Sequence[Frame], answers: Sequence[FrameAnswers]) -> F_co:
        """The finding. `answers[i]` belongs to `frames[i]`; a missing answer is a timeout, never a guess."""
        ...


class TextReader(Protocol):
    """Reads the text in a picture (RapidOCR)."""

    @property
    def version(self) -> str:
        """For the pins, such as `rapidocr 3.10.0`."""
        ...

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding: ...


class CodeReader(Protocol):
    """Reads QR and bar codes."""

    @property
    def version(self) -> str:
        """For the pins, such as `zxing-cpp 3.1.1`."""
        ...

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding: ...


class KeywordMatcher(Protocol):
    @property
    def normaliser(self) -> str:
        """The version of the normalisation, for the pins."""
        ...

    def prepare(self, lists: Sequence[KeywordList]) -> None:
        """Build what matching needs, so that the first upload under a new ruleset does not wait for it."""
        ...

    def version(self, lists: Sequence[KeywordList]) -> str:
        """Of matching these lists, today: while it is the same, the same is found in the same text. It says nothing
        outside this process, and nothing to another matcher."""
        ...

    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """Match each list over the sources it names, each text for itself. Each source's status is carried into the
        finding."""
        ...


class ProbeSignal(Protocol):
    """A model signal that asks of what the uploader wrote, too: a job for each part of that, without a picture."""

    @property
    def name(self) -> str: ...

    def questions(self, needs: Needs, frame: Frame) -> list[Question]: ...

    def text_questions(self, needs: Needs) -> list[Question]:
        """What to ask about each part of the text."""
        ...

    def read(
        self,
        needs: Needs,
        frames: Sequence[Frame],
        answers: Sequence[FrameAnswers],
        writing: Writing = ...,
        text_answers: Sequence[FrameAnswers] = ...,
    ) -> dict[str, ProbeFinding]:
        """`text_answers[i]` belongs to `writing.parts[i]`."""
        ...


SceneSignal = ModelSignal[SceneFinding]
ModelTextSignal = ModelSignal[TextFinding]
