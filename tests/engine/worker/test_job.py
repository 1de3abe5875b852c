"""Jobs on the demonstration pair, held against the plain way of asking: everything anew for each question."""

import ctypes
from collections.abc import Callable, Sequence

import llama_cpp
import numpy as np
import pytest
from llama_cpp import mtmd_cpp

from app.domain import Picture, Question, QuestionKind, Status
from app.engine.worker import decode, picture
from app.engine.worker.job import Job, Stop
from app.engine.worker.protocol import Answered, Ask, AskedQuestion
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits, log_probabilities
from tests.engine.jobs import caption, probes
from tests.engine.jobs import picture as make_picture

#: Largest difference of two ways to compute the same log-probability in F16 (measured with this pair: 0.055–0.069).
BOUND = 0.07


def ask_of(shown: Picture, questions: Sequence[Question]) -> Ask:
    return Ask(
        job=1,
        width=shown.width,
        height=shown.height,
        remaining_s=60.0,
        questions=tuple(
            AskedQuestion(number=number, kind=question.kind, prompt=question.prompt, max_tokens=question.max_tokens)
            for number, question in enumerate(questions)
        ),
    )


def run(
    resident: Resident,
    shown: Picture,
    questions: Sequence[Question],
    stopped: Callable[[], bool] = lambda: False,
) -> dict[int, Answered]:
    answers: list[Answered] = []
    job = Job(resident, ask_of(shown, questions), answers.append)
    try:
        job.run(shown.rgb, stopped)
    finally:
        decode.forget(resident.model, wipe=False)
    assert len({answer.number for answer in answers}) == len(answers)
    return {answer.number: answer for answer in answers}


def plainly(resident: Resident, shown: Picture, prompt: str) -> tuple[float, float]:
    """The whole prompt in one sequence by mtmd's own marker, nothing shared, nothing forked."""
    model, form = resident.model, resident.form
    pixels = (ctypes.c_uint8 * len(shown.rgb)).from_buffer_copy(shown.rgb)
    bitmap = mtmd_cpp.mtmd_bitmap_init(shown.width, shown.height, pixels)
    marker = mtmd_cpp.mtmd_default_marker().decode()
    text = f"{form.before_picture}{marker}{form.after_picture}{prompt}{form.after_question}".encode()
    given = mtmd_cpp.mtmd_input_text(text, len(text), False, True)
    chunks = mtmd_cpp.mtmd_input_chunks_init()
    bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
    assert mtmd_cpp.mtmd_tokenize(model.projector, chunks, ctypes.byref(given), bitmaps, 1) == 0
    decode.forget(model, wipe=False)
    position = llama_cpp.llama_pos(0)
    code = mtmd_cpp.mtmd_helper_eval_chunks(
        model.projector, model.context, chunks, 0, 0, model.batch_tokens, True, ctypes.byref(position)
    )
    assert code == 0
    row = llama_cpp.llama_get_logits_ith(model.context, -1)
    logits: Logits = np.ctypeslib.as_array(row, (model.vocab_tokens,)).copy()
    mtmd_cpp.mtmd_input_chunks_free(chunks)
    mtmd_cpp.mtmd_bitmap_free(bitmap)
    decode.forget(model, wipe=False)
    found = log_probabilities(logits, resident.words)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(3))
def test_forked_answers_are_those_of_asking_one_by_one(resident: Resident, seed: int) -> None:
    shown, questions = make_picture(seed), [*probes(), caption()]

    answers = run(resident, shown, questions)

    for number, question in enumerate(questions[:-1]):
        log_yes, log_no = plainly(resident, shown, question.prompt)
        assert answers[number].log_yes == pytest.approx(log_yes, abs=BOUND)
        assert answers[number].log_no == pytest.approx(log_no, abs=BOUND)


def test_the_comparison_can_fail(resident: Resident) -> None:
    """Another question differs by more than the bound, so the bound says something."""
    shown, questions = make_picture(0), probes()

    answers = run(resident, shown, questions)

    others = [plainly(resident, shown, question.prompt)[0] for question in questions]
    asked = [answers[number].log_yes or 0.0 for number in range(len(questions))]
    assert max(abs(mine - other) for mine in asked for other in others) > 4 * BOUND


def test_groups_give_the_answers_of_one_batch(resident: Resident) -> None:
    shown = make_picture(1)
    questions = [*probes(), caption()] * 5
    assert len(questions) > resident.model.parallel_questions

    answers = run(resident, shown, questions)

    assert len(answers) == len(questions)
    for number in range(len(probes()), len(questions)):
        first = answers[number % (len(probes()) + 1)]
        assert answers[number].text == first.text
        if first.log_yes is not None:
            assert answers[number].log_yes == pytest.approx(first.log_yes, abs=BOUND)


def test_the_context_is_filled_to_its_last_cell(resident: Resident) -> None:
    """Questions that fill it alone, in pairs and unevenly: what is planned to fit does."""
    shown = make_picture(0)
    with picture.tokenized(resident.model, resident.form, ask_of(shown, []), shown.rgb) as found:
        prefix = found.cells
    ending = len(resident.tokenizer.form(resident.form.after_question))
    letters = "xz" * 4000
    sizes = [
        resident.model.context_tokens - prefix - ending,
        *[(resident.model.context_tokens - prefix) // 2 - ending] * 4,
        *(97 * n % 900 + 1 for n in range(12)),
    ]
    questions = [Question(f"{n}", QuestionKind.YES_NO, letters[:size]) for n, size in enumerate(sizes)]
    assert len(resident.tokenizer.plain(letters[:100])) == 100

    answers = run(resident, shown, [*questions, caption(20)])

    assert {answer.status for answer in answers.values()} == {Status.OK}
    over = Question("over", QuestionKind.YES_NO, letters[: sizes[0] + 1])
    assert run(resident, shown, [over])[0].reason == "question_too_long"


def test_yes_no_answers_come_before_generated_ones(resident: Resident) -> None:
    answers = list(run(resident, make_picture(2), [caption(), *probes()]))

    assert answers[-1] == 0


def test_the_words_hold_nearly_all_the_mass(resident: Resident) -> None:
    """The demonstration model answers with a word that counts, so the chat form and the words are right."""
    for answer in run(resident, make_picture(0), probes()).values():
        assert answer.log_yes is not None
        assert answer.log_no is not None
        assert np.exp(answer.log_yes) + np.exp(answer.log_no) > 0.9


def test_a_generated_answer_ends_at_its_limit(resident: Resident) -> None:
    short = run(resident, make_picture(0), [caption(1)])[0]
    whole = run(resident, make_picture(0), [caption(40)])[0]

    assert short.truncated
    assert not whole.truncated
    assert whole.text is not None
    assert short.text is not None
    assert whole.text.startswith(short.text)


def test_a_question_longer_than_the_context_fails_alone_and_before_the_model_runs(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Question("long", QuestionKind.YES_NO, "是 " * 3000)
    monstrous = Question("monstrous", QuestionKind.YES_NO, "x" * 5_000_000)
    greedy = Question("greedy", QuestionKind.GENERATE, "Describe the image.", 5000)

    answers = run(resident, make_picture(0), [long, probes()[0], monstrous, greedy])

    assert [(answers[n].status, answers[n].reason) for n in (0, 2, 3)] == [(Status.FAILED, "question_too_long")] * 3
    assert answers[1].status is Status.OK

    def never(*_: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(picture, "evaluate", never)
    assert run(resident, make_picture(0), [long])[0].reason == "question_too_long"


def test_a_job_that_is_stopped_leaves_its_questions_open(resident: Resident) -> None:
    """At every step at which it looks: each time a little further, never an answer twice."""
    questions = [*probes(), caption()]
    for allowed in range(30):
        looks = iter(range(allowed))
        answers: list[Answered] = []
        job = Job(resident, ask_of(make_picture(0), questions), answers.append)
        try:
            job.run(make_picture(0).rgb, lambda looks=looks: next(looks, None) is None)
            stopped = False
        except Stop:
            stopped = True
        finally:
            decode.forget(resident.model, wipe=False)
        assert {answer.number for answer in answers}.isdisjoint(job.open)
        assert len(answers) + len(job.open) == len(questions)
        assert stopped == bool(job.open)


def test_poisoned_numbers_fail_and_do_not_outlive_the_job(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(*_: object) -> object:
        return iter([(1, np.full(resident.model.vocab_tokens, np.nan, np.float32))])

    with monkeypatch.context() as patched:
        patched.setattr(decode, "decode", poisoned)
        answers: list[Answered] = []
        job = Job(resident, ask_of(make_picture(0), probes()[:1]), answers.append)
        job.run(make_picture(0).rgb, lambda: False)
        decode.forget(resident.model, wipe=job.tainted)

    assert job.tainted
    assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "non_finite")]
    assert run(resident, make_picture(0), probes()[:1])[0].status is Status.OK


def test_a_picture_that_is_not_its_size_is_never_read(resident: Resident) -> None:
    shown = make_picture(0)

    with pytest.raises(picture.Fault):
        run(resident, Picture(shown.width, shown.height, shown.rgb[:-3]), probes()[:1])


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (33, 31), (1200, 900)])
def test_pictures_of_any_shape_are_answered_within_the_budget(resident: Resident, size: tuple[int, int]) -> None:
    shown = make_picture(0, 64, 64)
    width, height = size
    stretched = Picture(width, height, (shown.rgb * (width * height // (64 * 64) + 1))[: width * height * 3])
    seen: list[Answered] = []
    job = Job(resident, ask_of(stretched, probes()[:1]), seen.append)

    job.run(stretched.rgb, lambda: False)
    decode.forget(resident.model, wipe=False)

    assert [answered.status for answered in seen] == [Status.OK]
    assert 1 <= job.picture_tokens <= resident.form.picture_tokens
