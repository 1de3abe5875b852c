"""What has come in of one upload: the findings at any moment, and what is still to come."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial

from app.domain import (
    Answer,
    CodesFinding,
    Findings,
    Frame,
    Image,
    KeywordFinding,
    Needs,
    SceneFinding,
    Status,
    TextFinding,
    TextSource,
    UploadContext,
    WrittenText,
)
from app.metrics import FINDINGS
from app.moderation.asking import Asking
from app.moderation.matching import Matching
from app.moderation.recall import Recall, name_of
from app.moderation.signals import Signals
from app.policy.texts import texts_to_match

NOT_ASKED = "not asked"
#: Why a question was not asked to the end: no rule could use the answer any more.
DECIDED = "decided"

_counter = cache(FINDINGS.labels)


class Gathering:
    """One event loop uses it. `ocr` and `codes` are None until they are there."""

    def __init__(self, signals: Signals, image: Image, context: UploadContext, needs: Needs, recall: Recall) -> None:
        self._signals = signals
        self._matching = Matching(signals.matcher, recall)
        self._image = image
        self._context = context
        self._needs = needs
        self._writing = signals.writing(needs, context.caption)
        #: What there is a job about, each: the frames, and then the parts of the text.
        self.subjects: tuple[Frame | WrittenText, ...] = (*image.frames, *self._writing.parts)
        self._answers: list[dict[str, Answer]] = [{} for _ in self.subjects]
        self._asking: list[Asking] = []
        self._matched: tuple[Mapping[TextSource, TextFinding], KeywordFinding] | None = None
        self.news = asyncio.Event()
        self.ocr: TextFinding | None = None
        self.codes: CodesFinding | None = None
        if not needs.read_text:
            self.ocr = TextFinding(status=Status.SKIPPED, reason=NOT_ASKED)
        if not needs.read_codes:
            self.codes = CodesFinding(status=Status.SKIPPED, reason=NOT_ASKED)

    def asking(self, ask: Callable[[int, Callable[[Answer], None]], Asking]) -> Sequence[Asking]:
        """`ask` makes that of one subject, by its place, and is told who hears the answers."""
        self._asking = [ask(at, partial(self.heard, at)) for at in range(len(self._answers))]
        return self._asking

    @property
    def unanswered(self) -> frozenset[str]:
        """What the model is still asked: `probes.<id>`, `scene`, `model_text`."""
        return frozenset(name_of(question_id) for asking in self._asking for question_id in asking.open)

    @property
    def pending(self) -> frozenset[str]:
        """Everything that is still to come; text sources by their names."""
        reading = {TextSource.OCR.value} if self.ocr is None else set()
        decoding = {TextSource.QR.value} if self.codes is None else set()
        return self.unanswered | reading | decoding

    def skip(self, names: Collection[str]) -> None:
        """The model need not answer these any more."""
        for asking in self._asking:
            asking.cancel([one for one in asking.open if name_of(one) in names], reason=DECIDED)

    async def findings(self, recalled: Collection[str] = ()) -> Findings:
        """Of what is there; what is still to come has no finding that is ok."""
        needs, frames = self._needs, self._image.frames
        answers = [dict(one) for one in self._answers[: len(frames)]]
        text_answers = [dict(one) for one in self._answers[len(frames) :]]
        ocr = self.ocr or TextFinding(status=Status.SKIPPED, reason=DECIDED)
        codes = self.codes or CodesFinding(status=Status.SKIPPED, reason=DECIDED)
        scene = self._signals.scene.read(needs, frames, answers)
        model_text = self._signals.model_text.read(needs, frames, answers)
        keywords = await self._keywords(ocr, model_text, codes, scene)
        return Findings(
            image=self._image.facts,
            probes=self._signals.probes.read(needs, frames, answers, self._writing, text_answers),
            ocr=ocr,
            model_text=model_text,
            codes=codes,
            caption=self._context.caption,
            scene=scene,
            keywords=keywords,
            recalled=tuple(sorted(recalled)),
        )

    def heard(self, at: int, answer: Answer) -> None:
        """An answer to a question about the subject at this place."""
        self._answers[at][answer.question_id] = answer
        self.news.set()

    async def _keywords(
        self, ocr: TextFinding, model_text: TextFinding, codes: CodesFinding, scene: SceneFinding
    ) -> KeywordFinding:
        """Matched again only where a text is another than the last time."""
        caption = self._context.caption
        texts = texts_to_match(self._needs, ocr=ocr, model_text=model_text, codes=codes, scene=scene, caption=caption)
        if self._matched is None or self._matched[0] != texts:
            self._matched = texts, await self._matching.match(self._needs.lists, texts)
        return self._matched[1]


def count(findings: Findings) -> None:
    """How each signal ended, for the metrics."""
    for probe in findings.probes.values():
        for reading in probe.readings:
            _counter("probes", reading.status.value).inc()
    _counter("ocr", findings.ocr.status.value).inc()
    _counter("model_text", findings.model_text.status.value).inc()
    _counter("codes", findings.codes.status.value).inc()
    _counter("scene", findings.scene.status.value).inc()
