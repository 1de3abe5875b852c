"""Jobs on the demonstration pair, held against the plain way of asking: everything anew for each question."""

import ctypes
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp import mtmd_cpp

from app.domain import Picture, Question, QuestionKind, Status
from app.engine.worker import decode, picture
from app.engine.worker.encodings import Encodings
from app.engine.worker.model import Model
from app.engine.worker.protocol import Answered, Done, Started
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits, log_probabilities
from tests.engine.jobs import BOUND, caption, probes
from tests.engine.jobs import picture as make_picture
from tests.engine.worker.desk import Desk, ask_of, narrow, run


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
    questions = [*probes(), caption()] * 6
    assert len(questions) > resident.model.sequences

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
    found = picture.tokenize(resident.model, resident.form, ask_of(shown, []), shown.rgb)
    prefix = found.cells
    found.close()
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


@pytest.mark.parametrize("how", ["late", "cancelled"])
def test_a_job_that_is_stopped_at_any_step_frees_what_it_held(resident: Resident, how: str) -> None:
    """Each time a little further. One that is late gets its timeouts, one that is cancelled nothing more."""
    questions = [*probes(), caption()]
    for turns in range(20):
        desk = Desk(resident)
        desk.submit(make_picture(0), questions)
        for _ in range(turns):
            desk.scheduler.turn()
        before = desk.answers()
        if how == "late":
            desk.now = 61.0
            desk.scheduler.turn()
            assert len(desk.answers()) == len(questions)
            late = [answer for number, answer in desk.answers().items() if number not in before]
            assert {(answer.status, answer.reason) for answer in late} <= {(Status.TIMEOUT, "deadline")}
        else:
            desk.scheduler.cancel(1)
            assert desk.answers() == before
        assert desk.done() is not None
        desk.assert_empty()
        decode.forget(resident.model, wipe=True)


def poisoning(resident: Resident, victim: int) -> Callable[..., object]:
    """A decode that gives no numbers for what is asked of one job's picture."""
    real = decode.decode

    def poisoned(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        for sequence, logits in real(model, entries):
            bad = any(sequence in entry.sequences and entry.token == victim for entry in entries)
            yield sequence, np.full(resident.model.vocab_tokens, np.nan, np.float32) if bad else logits

    return poisoned


def test_poisoned_numbers_fail_the_question_they_belong_to_and_no_other(
    resident: Resident, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three pictures in one batch, and the numbers of one question are none: each is asked again by itself."""
    fine, poisoned = probes()[:2], Question("x", QuestionKind.YES_NO, "zzz")
    (token,) = set(resident.tokenizer.plain("zzz"))
    expected = [run(resident, make_picture(seed), fine) for seed in range(3)]

    with monkeypatch.context() as patched:
        patched.setattr(decode, "decode", poisoning(resident, token))
        for seed in range(3):
            desk.submit(make_picture(seed), [*fine, *([poisoned] if seed == 1 else [])], number=seed + 1)
        desk.finish()

    desk.assert_empty()
    for seed in range(3):
        found = desk.answers(seed + 1)
        for number in range(len(fine)):
            assert found[number].log_yes == pytest.approx(expected[seed][number].log_yes, abs=BOUND)
    assert (desk.answers(2)[2].status, desk.answers(2)[2].reason) == (Status.FAILED, "non_finite")


def test_a_step_that_fails_fails_only_the_job_that_does_it(
    resident: Resident, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = decode.decode
    (token,) = set(resident.tokenizer.plain("zzz"))

    def failing(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        if any(entry.token == token for entry in entries):
            raise decode.Fault("decode failed with code -3")
        return real(model, entries)

    with monkeypatch.context() as patched:
        patched.setattr(decode, "decode", failing)
        for seed in range(4):
            asked = [*probes()[:3], caption()] if seed != 2 else [Question("x", QuestionKind.YES_NO, "zzz")]
            desk.submit(make_picture(seed), asked, number=seed + 1)
        desk.finish()

    desk.assert_empty()
    assert {answer.reason for answer in desk.answers(3).values()} == {"engine_fault"}
    for number in (1, 2, 4):
        assert [answer.status for answer in desk.answers(number).values()] == [Status.OK] * 4


def test_a_job_that_has_all_its_answers_when_a_step_fails_is_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the step of its last answer another job's numbers are none: it is not asked again, with nothing to ask."""
    real = decode.decode

    def poisoned(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        for sequence, logits in real(model, entries):
            if desk.answers(1) and any(sequence in job.asking and job.ask.job == 2 for job in desk.scheduler._active):
                logits[:] = np.nan
                monkeypatch.setattr(decode, "decode", real)
            yield sequence, logits

    monkeypatch.setattr(decode, "decode", poisoned)
    held = everything_asked()[LONG]
    desk.submit(make_picture(0), [replace(held, json_schema='{"const": "abcdefghijklmnop"}')], number=1)
    desk.submit(make_picture(1), [held], number=2)
    for _ in range(200):
        desk.turn()
        if desk.answers(1):
            break

    assert decode.decode is real, "nothing was poisoned"
    assert desk.done(1) is not None
    desk.finish()
    desk.assert_empty()
    assert desk.answers(2)[0].status is Status.OK


def test_an_encoding_that_is_no_numbers_never_reaches_the_shared_cells(
    resident: Resident, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = np.isfinite
    monkeypatch.setattr(picture.np, "isfinite", lambda values: real(values) & (np.ndim(values) != 2))

    desk.submit(make_picture(0), probes()[:2])
    desk.finish()

    assert {(answer.status, answer.reason) for answer in desk.answers().values()} == {(Status.FAILED, "non_finite")}


def test_a_picture_that_is_not_its_size_is_never_read(resident: Resident) -> None:
    shown = make_picture(0)

    answers = run(resident, Picture(shown.width, shown.height, shown.rgb[:-3]), probes()[:1])

    assert answers[0].reason == "engine_fault"


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (33, 31), (1200, 900)])
def test_pictures_of_any_shape_are_answered_within_the_budget(
    resident: Resident, desk: Desk, size: tuple[int, int]
) -> None:
    shown = make_picture(0, 64, 64)
    width, height = size
    stretched = Picture(width, height, (shown.rgb * (width * height // (64 * 64) + 1))[: width * height * 3])

    desk.submit(stretched, probes()[:1])
    desk.finish()

    assert desk.answers()[0].status is Status.OK
    done = desk.done()
    assert done is not None
    assert 1 <= done.picture_tokens <= resident.form.picture_tokens


def test_what_is_urgent_goes_first(desk: Desk) -> None:
    for number, priority in ((1, 1), (2, 1), (3, 0)):
        desk.submit(make_picture(number), probes()[:1], number=number, priority=priority)
    desk.finish()

    assert [said.job for said in desk.said if isinstance(said, Started)] == [3, 1, 2]


def test_a_picture_seen_before_is_not_encoded_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    real = picture._encode
    monkeypatch.setattr(picture, "_encode", lambda *given: encoded.append(1) or real(*given))

    for number, seed in enumerate((0, 1, 0, 0), start=1):
        desk.submit(make_picture(seed), probes(), number=number)
        desk.finish()

    assert len(encoded) == 2
    first, again = desk.answers(1), desk.answers(3)
    assert [again[n].log_yes for n in first] == pytest.approx([first[n].log_yes for n in first], abs=BOUND)


#: Which of `everything_asked` are held by a grammar: to a few words, and to a text so long that the pictures of other
#: jobs come in while it grows. What this model says of itself is over before the next picture is in.
HELD, LONG = 14, 15
LONG_TEXT = "abcdefghijklmnopqrstuvwxyz" * 2

#: Of each job: its picture, its questions, its priority, the turns until the next comes, the questions given up then.
Mix = list[tuple[int, list[int], int, int, set[int]]]
JOBS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.sampled_from([*range(8), 12, 13, HELD, LONG]), min_size=1, max_size=6),
        st.integers(0, 1),
        st.integers(0, 3),
        st.just(set()) | st.sets(st.integers(0, 5), max_size=3),
    ),
    min_size=1,
    max_size=9,
)


def everything_asked() -> list[Question]:
    kind = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=("Yes", "zzz", "zq"))
    held = Question("json", QuestionKind.GENERATE, "Describe the image.", 12, json_schema='{"enum": ["a", "bc", 7]}')
    long = Question("long", QuestionKind.GENERATE, "Describe the image.", 60, json_schema=f'{{"const": "{LONG_TEXT}"}}')
    return [*probes(), caption(6), kind, held, long]


@settings(max_examples=25)
@given(
    mix=JOBS,
    cancelled=st.sets(st.integers(1, 9), max_size=2),
    places=st.sampled_from([1, 2, 3, 8]),
    tick_s=st.sampled_from([0.0, 0.001]),
)
def test_any_mix_of_jobs_gives_what_each_gives_alone(
    resident: Resident,
    alone: dict[tuple[int, int], Answered],
    *,
    mix: Mix,
    cancelled: set[int],
    places: int,
    tick_s: float,
) -> None:
    """Of any pictures, questions and priorities, arriving at any moment, some jobs and some single questions cancelled
    halfway, with many places and with few: forked, batched and from remembered encodings, every answer is that of its
    own picture, and all that was held is free in the end. Meanwhile nobody holds what is another's, and no synchronous
    job waits for a place that a bulk job could leave."""
    desk = Desk(narrow(resident, places), tick_s=tick_s)
    everything = everything_asked()
    for number, (seed, chosen, priority, turns, given_up) in enumerate(mix, start=1):
        desk.submit(make_picture(seed), [everything[n] for n in chosen], number=number, priority=priority)
        for _ in range(turns):
            desk.turn()
        desk.scheduler.cancel(number, given_up)
        if number - 1 in cancelled:
            desk.scheduler.cancel(number - 1)
    desk.finish()
    desk.assert_empty()
    decode.forget(resident.model, wipe=True)

    for number, (seed, chosen, _, _, given_up) in enumerate(mix, start=1):
        answers = desk.answers(number)
        assert desk.done(number) is not None
        assert number in cancelled or set(answers) | given_up >= set(range(len(chosen)))
        for place, answer in answers.items():
            assert answer.status is Status.OK
            expected = alone[seed, chosen[place]]
            assert answer.log_yes == pytest.approx(expected.log_yes, abs=BOUND)
            assert answer.log_no == pytest.approx(expected.log_no, abs=BOUND)
            assert answer.log_choices == pytest.approx(expected.log_choices, abs=2 * BOUND)
            assert (answer.text is None) == (expected.text is None)
            if chosen[place] == HELD:
                assert json.loads(answer.text or "") in {"a", "bc", 7}
            if chosen[place] == LONG:
                assert json.loads(answer.text or "") == LONG_TEXT


def test_the_mix_would_show_another_picture(alone: dict[tuple[int, int], Answered]) -> None:
    """The control of the test above: the pictures differ by more than the bound in what is asked there."""
    for one, other in ((0, 1), (1, 2), (0, 2)):
        apart = [abs((alone[one, n].log_yes or 0) - (alone[other, n].log_yes or 0)) for n in range(8)]
        assert max(apart) > 2 * BOUND


def test_the_mix_has_several_pictures_in_work_at_once(desk: Desk) -> None:
    """The other control: the next picture comes in, is asked about and goes while the long answer grows."""
    everything = everything_asked()
    desk.submit(make_picture(0), [everything[LONG]], number=1)
    desk.submit(make_picture(1), [everything[0]], number=2)
    desk.finish()

    assert [said.job for said in desk.said if isinstance(said, Done)] == [2, 1]


@pytest.fixture(scope="module")
def alone(resident: Resident) -> dict[tuple[int, int], Answered]:
    """What each question gets when it is asked plainly of each picture."""
    everything = everything_asked()
    return {
        (seed, n): answer
        for seed in range(3)
        for n in (*range(8), 12, 13, HELD, LONG)
        for answer in run(resident, make_picture(seed), [everything[n]]).values()
    }


def test_a_choice_gives_the_probability_of_each_word(resident: Resident) -> None:
    """Words of one token and of several, held against reading each of them anew after the question."""
    words = ("Yes", "No", "zzz", "zq", "武器")
    question = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=words)
    lengths = {len(resident.tokenizer.plain(word)) for word in words}
    assert 1 in lengths
    assert max(lengths) > 2

    answers = run(resident, make_picture(0), [question, caption(), *probes()[:2]])

    assert answers[0].log_choices == pytest.approx(
        [alone_read(resident, "Which word is it?", w) for w in words], abs=0.15
    )
    assert sum(np.exp(answers[0].log_choices or [])) <= 1.0
    assert {answer.status for answer in answers.values()} == {Status.OK}


def alone_read(resident: Resident, prompt: str, word: str) -> float:
    """The logarithm of the probability of a word, from a context with nothing else in it."""
    model, form, tokenizer = resident.model, resident.form, resident.tokenizer
    shown = make_picture(0)
    prefix = picture.tokenize(model, form, ask_of(shown, []), shown.rgb)
    *_, start = picture.evaluate(model, Encodings(0), prefix, 1, 0)
    prefix.close()
    asked, tokens = (*tokenizer.plain(prompt), *tokenizer.form(form.after_question)), tokenizer.plain(word)
    entries = [decode.entry(token, start + n, 1, n >= len(asked) - 1) for n, token in enumerate([*asked, *tokens[:-1]])]
    found = 0.0
    for token, (_, logits) in zip(tokens, decode.decode(model, entries), strict=True):
        values = logits.astype(np.float64)
        found += float(values[token] - np.log(np.exp(values - values.max()).sum()) - values.max())
    decode.forget(model, wipe=True)
    return found


def test_more_logits_in_a_step_than_llama_cpp_keeps_are_taken_in_turns(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every token of a word that is read; llama.cpp ends the process when it is asked for too many at once."""
    words = ("Yes", "武器武器武器", "zzzzzz")
    questions = [Question(f"{n}", QuestionKind.CHOICE, f"Which word is {n}?", choices=words) for n in range(40)]
    wanted: list[int] = []
    real = decode._decode_batch

    def counted(model: Model, batch: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        wanted.append(sum(bool(entry.wanted) for entry in batch))
        return real(model, batch)

    monkeypatch.setattr(decode, "_decode_batch", counted)
    answers = run(resident, make_picture(0), questions)
    alone = run(resident, make_picture(0), questions[7:8])[0]

    assert max(wanted) == resident.model.outputs
    assert {answer.status for answer in answers.values()} == {Status.OK}
    assert answers[7].log_choices == pytest.approx(alone.log_choices, abs=3 * BOUND)


@pytest.mark.parametrize("words", [(), ("one",), ("one", "one"), ("z", "zz"), ("", "a")])
def test_choices_that_cannot_be_told_apart_fail(resident: Resident, words: tuple[str, ...]) -> None:
    question = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=words)

    answers = run(resident, make_picture(0), [question, probes()[0]])

    assert (answers[0].status, answers[0].reason) == (Status.FAILED, "choices_not_distinct")
    assert answers[1].status is Status.OK


def test_jobs_too_large_to_be_in_work_together_take_turns(resident: Resident, desk: Desk) -> None:
    """Each takes most of the context; smaller ones that come later do not starve them."""
    large = Question("large", QuestionKind.YES_NO, "xz" * (resident.model.context_tokens * 2 // 5))
    for number in range(1, 9):
        desk.submit(make_picture(number), [large if number % 2 else probes()[0], caption()], number=number)
    desk.finish()

    desk.assert_empty()
    for number in range(1, 9):
        assert {answer.status for answer in desk.answers(number).values()} == {Status.OK}
    ends = [said.job for said in desk.said if isinstance(said, Done)]
    assert ends.index(1) < ends.index(8)


def test_a_long_turn_is_told_once(desk: Desk) -> None:
    """It must not make the process look slow for the rest of its life."""
    passes_s = [2.0]

    def clock() -> float:
        desk.now += passes_s[0]
        return desk.now

    desk.scheduler._clock = clock
    desk.submit(make_picture(0), probes()[:1])
    desk.finish()
    passes_s[0] = 0.001
    desk.submit(make_picture(1), probes()[:1], number=2)
    desk.finish()

    slow, quick = desk.done(1), desk.done(2)
    assert slow is not None
    assert quick is not None
    assert slow.longest_turn_ms >= 2000
    assert quick.longest_turn_ms < 100
