"""What the model signals ask, and that a missing answer never reads as "no"."""

import pytest

from app.domain import (
    Answer,
    Backdrop,
    Frame,
    Needs,
    Picture,
    ProbeQuestion,
    Question,
    QuestionKind,
    Status,
    Subject,
    Writing,
    WrittenText,
)
from app.signals.base import ModelSignal
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene

NEEDS = Needs(
    probes=(
        ProbeQuestion(probe="weapons", language="en", text="Does this image show weapons? Answer Yes or No."),
        ProbeQuestion(probe="weapons", language="zh", text="这张图片中是否有武器？请回答是或否。"),
        ProbeQuestion(probe="violence", language="en", text="Does this image show blood? Answer Yes or No."),
    ),
    model_text=True,
    describe=True,
)


def frame(index: int) -> Frame:
    return Frame(index=index, source_frame=index, backdrop=Backdrop.NONE, scale=1.0, picture=Picture(1, 1, b"\0\0\0"))


def yes(question: Question) -> Answer:
    return Answer(question_id=question.id, status=Status.OK, log_yes=-0.1, log_no=-2.4)


def text(question: Question, words: str, *, truncated: bool = False) -> Answer:
    return Answer(question_id=question.id, status=Status.OK, text=words, truncated=truncated)


@pytest.mark.parametrize("signal", [Probes(), Scene(), ModelText()], ids=lambda signal: signal.name)
def test_question_ids_carry_the_signal_and_are_unique_in_a_frame(signal: ModelSignal[object]) -> None:
    questions = signal.questions(NEEDS, frame(0))
    assert questions
    assert all(question.id.split("/")[0] == signal.name for question in questions)
    assert len({question.id for question in questions}) == len(questions)


def test_every_probe_is_read_in_every_language_of_every_frame() -> None:
    probes, frames = Probes(), [frame(0), frame(1)]
    answers = [{question.id: yes(question) for question in probes.questions(NEEDS, f)} for f in frames]
    found = probes.read(NEEDS, frames, answers)
    assert set(found) == {"weapons", "violence"}
    assert [(r.frame, r.language) for r in found["weapons"].readings] == [(0, "en"), (0, "zh"), (1, "en"), (1, "zh")]
    assert all(r.status is Status.OK and r.log_yes == -0.1 for r in found["weapons"].readings)


def test_silence_is_a_timeout_for_that_question_alone() -> None:
    probes, frames = Probes(), [frame(0)]
    asked = probes.questions(NEEDS, frames[0])
    found = probes.read(NEEDS, frames, [{asked[0].id: yes(asked[0])}])
    assert [r.status for r in found["weapons"].readings] == [Status.OK, Status.TIMEOUT]
    assert found["violence"].readings[0].status is Status.TIMEOUT
    assert found["violence"].readings[0].log_no is None


def test_an_answer_without_probabilities_is_a_failure() -> None:
    probes, frames = Probes(), [frame(0)]
    asked = probes.questions(NEEDS, frames[0])
    found = probes.read(NEEDS, frames, [{q.id: Answer(question_id=q.id, status=Status.OK) for q in asked}])
    assert {r.status for probe in found.values() for r in probe.readings} == {Status.FAILED}


TEXTS = Needs(
    probes=(
        ProbeQuestion("selling", "en", "Does the text sell anything? Answer Yes or No.", Subject.TEXT),
        ProbeQuestion("drugs", "en", "Is it about drugs? Answer Yes or No."),
        ProbeQuestion("drugs", "en", "Is it about drugs? Answer Yes or No.", Subject.TEXT),
    )
)


def test_texts_are_asked_about_apart_from_frames() -> None:
    probes = Probes()
    assert [one.id for one in probes.questions(TEXTS, frame(0))] == ["probes/drugs/en"]
    assert [one.id for one in probes.text_questions(TEXTS)] == ["probes/selling/en/text", "probes/drugs/en/text"]
    assert probes.text_questions(NEEDS) == []


def test_every_part_of_a_text_is_read_and_silence_is_a_timeout() -> None:
    probes = Probes()
    writing = Writing((WrittenText("one"), WrittenText("two")))
    asked = {question.id: yes(question) for question in probes.text_questions(TEXTS)}
    found = probes.read(TEXTS, [frame(0)], [{}], writing, [asked, {}])
    assert [(r.text_part, r.status) for r in found["selling"].readings] == [(0, Status.OK), (1, Status.TIMEOUT)]
    assert [r.text_part for r in found["drugs"].readings] == [None, 0, 1]


def test_the_end_of_a_text_that_is_not_looked_at_has_a_reading_that_says_so() -> None:
    probes = Probes()
    asked = {question.id: yes(question) for question in probes.text_questions(TEXTS)}
    found = probes.read(TEXTS, [], [], Writing((WrittenText("one"),), cut=True), [asked])
    first, rest = found["selling"].readings
    assert (first.status, rest.status, rest.text_part, rest.log_no) == (Status.OK, Status.FAILED, 1, None)
    assert (rest.reason or "").startswith("truncated")


def test_without_a_text_there_is_no_finding_of_what_is_asked_of_texts_alone() -> None:
    assert set(Probes().read(TEXTS, [frame(0)], [{}])) == {"drugs"}


def test_the_scene_is_asked_of_the_first_frame_only() -> None:
    scene, frames = Scene(), [frame(0), frame(1)]
    (question,) = scene.questions(NEEDS, frames[0])
    assert scene.questions(NEEDS, frames[1]) == []
    assert question.kind is QuestionKind.GENERATE
    found = scene.read(NEEDS, frames, [{question.id: text(question, "a cat")}, {}])
    assert (found.status, found.description) == (Status.OK, "a cat")
    assert scene.read(NEEDS, frames, [{}, {}]).status is Status.TIMEOUT


def test_what_the_policy_switched_off_is_skipped_not_failed() -> None:
    off = Needs(describe=False, model_text=False)
    assert Scene().questions(off, frame(0)) == []
    assert Scene().read(off, [frame(0)], [{}]).status is Status.SKIPPED
    assert ModelText().read(off, [frame(0)], [{}]).status is Status.SKIPPED


def test_model_text_is_the_union_over_frames_and_repeats_count_once() -> None:
    reader, frames = ModelText(), [frame(0), frame(1)]
    (question,) = reader.questions(NEEDS, frames[0])
    answers = [{question.id: text(question, "SALE\ncall now")}, {question.id: text(question, "SALE\n\nagain")}]
    found = reader.read(NEEDS, frames, answers)
    assert found.status is Status.OK
    assert [(line.text, line.frame) for line in found.lines] == [("SALE", 0), ("call now", 0), ("again", 1)]


@pytest.mark.parametrize("second", ["silent", "cut"])
def test_model_text_keeps_what_it_read_when_a_frame_is_missing_or_cut(second: str) -> None:
    reader, frames = ModelText(), [frame(0), frame(1)]
    (question,) = reader.questions(NEEDS, frames[0])
    rest = {} if second == "silent" else {question.id: text(question, "and more", truncated=True)}
    found = reader.read(NEEDS, frames, [{question.id: text(question, "SALE")}, rest])
    assert found.status is (Status.TIMEOUT if second == "silent" else Status.FAILED)
    assert "SALE" in found.text
