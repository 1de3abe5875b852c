"""Uploads of which everything that the policy asks is known: they need neither the model nor a media worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain import (
    Answer,
    CodesFinding,
    EngineInfo,
    Findings,
    Frame,
    Image,
    Needs,
    TextFinding,
    UploadContext,
    WrittenText,
)
from app.moderation.gathering import Gathering, count
from app.moderation.recall import CODES, TEXT, Recall, name_of
from app.moderation.signals import Signals
from app.moderation.timing import Stopwatch


@dataclass(frozen=True, slots=True)
class Repeat:
    """All of it was taken at one moment, so that nothing of it can be gone when it is used. `image` has no pixels,
    `engine` is who gave the `answers`, which are by frame, or part of the text, and question id."""

    image: Image
    recall: Recall
    engine: EngineInfo
    ocr: TextFinding | None
    codes: CodesFinding | None
    answers: Sequence[Mapping[str, Answer]]
    names: frozenset[str]

    async def findings(self, signals: Signals, context: UploadContext, needs: Needs, watch: Stopwatch) -> Findings:
        """What collecting would find, of what was found before."""
        gathering = Gathering(signals, self.image, context, needs, self.recall)
        gathering.ocr = gathering.ocr or self.ocr
        gathering.codes = gathering.codes or self.codes
        for at, answers in enumerate(self.answers):
            for answer in answers.values():
                gathering.heard(at, answer)
        with watch.stage("keywords"):
            findings = await gathering.findings(self.names)
        count(findings)
        return findings


def repeat(
    image: Image, recall: Recall, signals: Signals, needs: Needs, engine: EngineInfo, *, caption: str | None
) -> Repeat | None:
    """None where anything has to be asked. `recall` is that of `image`."""
    ocr = codes = None
    names: list[str] = []
    if needs.read_text:
        ocr = recall.glance(recall.reading("ocr", signals.reader.version, TEXT))
        if ocr is None:
            return None
        names.append("ocr")
    if needs.read_codes:
        codes = recall.glance(recall.reading("codes", signals.codes.version, CODES))
        if codes is None:
            return None
        names.append("codes")
    answers: list[Mapping[str, Answer]] = []
    subjects: list[Frame | WrittenText] = [*image.frames, *signals.writing(needs, caption).parts]
    for about in subjects:
        found: dict[str, Answer] = {}
        for question in signals.questions(needs, about):
            answer = recall.glance(recall.question(about, question, engine))
            if answer is None:
                return None
            same_id = answer.question_id == question.id
            found[question.id] = answer if same_id else replace(answer, question_id=question.id)
            names.append(name_of(question.id))
        answers.append(found)
    recall.count_kept(names)
    return Repeat(image, recall, engine, ocr, codes, answers, frozenset(names))
