"""Pictures, questions and jobs. What the pictures mean does not matter here."""

import itertools
import time
from collections.abc import AsyncIterator, Sequence

from PIL import Image, ImageDraw

from app.domain import Answer, EngineJob, Picture, Question, QuestionKind, WrittenText

TOPICS = ("weapons", "blood or injury", "drugs or smoking", "alcohol", "gambling", "adult content")
TOPICS_ZH = ("武器", "血腥或受伤", "毒品或吸烟", "酒", "赌博", "成人内容")
#: Long enough for any machine: a test that needs a deadline says so.
PATIENT_S = 60.0

#: Largest difference of two ways to compute the same log-probability in F16 (measured with this pair: 0.055–0.069).
BOUND = 0.07

_numbers = itertools.count(1)


def picture(seed: int = 0, width: int = 160, height: int = 128) -> Picture:
    """A ground with a disc and a bar, whose colours and places depend on the seed."""
    image = Image.new("RGB", (width, height), ((seed * 53) % 256, (seed * 97 + 40) % 256, (seed * 29 + 90) % 256))
    draw = ImageDraw.Draw(image)
    left = 10 + (seed * 17) % (width // 2)
    draw.ellipse((left, 15, left + width // 3, 15 + width // 3), fill=((seed * 71 + 120) % 256, 30, 200))
    draw.rectangle((5, height - 30 - seed % 20, width - 20, height - 12), fill=(240, (seed * 41) % 256, 20))
    return Picture(width, height, image.tobytes())


def probes() -> list[Question]:
    english = [f"Does this image show {topic}? Answer Yes or No." for topic in TOPICS]
    chinese = [f"这张图片中是否有{topic}？请回答是或否。" for topic in TOPICS_ZH]
    return [Question(f"probe-{index}", QuestionKind.YES_NO, text) for index, text in enumerate((*english, *chinese))]


def caption(max_tokens: int = 16) -> Question:
    return Question("caption", QuestionKind.GENERATE, "Describe the image.", max_tokens)


def written(seed: int = 0) -> WrittenText:
    """A few lines in two languages, another text for each seed."""
    topics = itertools.islice(itertools.cycle((*TOPICS, *TOPICS_ZH)), seed, seed + 3)
    return WrittenText("\n".join(f"Offer {seed}: {topic}. 今天有货，联系我 {seed}!" for topic in topics))


def job(
    questions: Sequence[Question], shown: Picture | WrittenText | None = None, *, deadline_s: float = PATIENT_S
) -> EngineJob:
    return EngineJob(
        id=f"job-{next(_numbers)}",
        subject=shown if shown is not None else picture(),
        questions=tuple(questions),
        deadline_at=time.monotonic() + deadline_s,
    )


async def all_answers(stream: AsyncIterator[Answer]) -> list[Answer]:
    return [answer async for answer in stream]
