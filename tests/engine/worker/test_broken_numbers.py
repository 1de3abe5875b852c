"""Numbers that are none cost those whose they are, and nobody beside them."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from app.domain import Question, QuestionKind, Status
from app.engine.worker import decode, logs, picture
from app.engine.worker.model import Model
from app.engine.worker.words import Logits
from tests.engine.jobs import caption, probes
from tests.engine.jobs import picture as make_picture
from tests.engine.worker.desk import Desk


def test_a_picture_that_cannot_be_encoded_disturbs_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its questions were once read in a sequence without a picture, and all others asked again for it."""
    desk.submit(make_picture(0), [caption(40)], number=1)
    for _ in range(6):
        desk.turn()

    def unusable(model: Model, chunk: object) -> object:
        raise picture.UnusableEncoding

    monkeypatch.setattr(picture, "_encode", unusable)
    logged: list[object] = []
    monkeypatch.setattr(logs, "log", lambda *line: logged.append(line))
    desk.submit(make_picture(1), probes()[:2], number=2)
    desk.finish()

    assert {answer.reason for answer in desk.answers(2).values()} == {"non_finite"}
    assert desk.answers(1)[0].status is Status.OK
    assert logged == []
    desk.assert_empty()


def test_a_word_that_two_batches_read_leaves_nothing_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its question fails in the first; what the second reads of it must not meet the next question there."""
    words = ("Yes", "z" + "zqx" * 8)
    questions = [Question(f"{n}", QuestionKind.CHOICE, f"Which {n}?", choices=words) for n in range(100)]
    broken = {0, 3}
    real = decode.decode

    def poisoned(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        for sequence, logits in real(model, entries):
            asked = next((job.asking[sequence] for job in desk.scheduler._active if sequence in job.asking), None)
            bad = asked is not None and asked.reads_words and asked.question.number in broken
            yield sequence, np.full_like(logits, np.nan) if bad else logits

    monkeypatch.setattr(decode, "decode", poisoned)
    desk.submit(make_picture(0), questions)
    desk.finish()

    assert Counter(answer.reason for answer in desk.answers().values()) == {None: 98, "non_finite": 2}
    desk.assert_empty()
