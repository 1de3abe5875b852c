"""Models of other families than Youtu-VL's, with random weights: whatever is shared between their questions, each
answer is that of a plain evaluation by llama.cpp's own helper."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_cpp import mtmd_cpp

from app.domain import Picture, Question, QuestionKind, Status
from app.engine.base import AnswerWords, EngineConfig, ModelFiles
from app.engine.process import load_order
from app.engine.quoting import quoted
from app.engine.runtime import Runtime
from app.engine.worker import decode, logs, picture
from app.engine.worker.memory import Account
from app.engine.worker.protocol import Answered
from app.engine.worker.resident import Resident, load_resident
from app.engine.worker.warm_up import warm_up
from app.engine.worker.words import Logits, log_probabilities
from tests.engine.jobs import caption, probes, written
from tests.engine.jobs import picture as make_picture
from tests.engine.tiny.pairs import write_pair
from tests.engine.worker.desk import Desk, ask_of, run

ARCHITECTURES = ("qwen2vl", "llava", "gemma3")
#: Largest difference of two ways to compute the same log-probability with these weights, cells in F16 (seen: 0.005).
BOUND = 0.015


def loaded(name: str, folder: Path, *, template: str = "its own") -> Resident:
    model, projector = write_pair(name, folder, template=template)
    files = ModelFiles(
        name=name,
        model=model,
        projector=projector,
        chat_form=None,
        words=AnswerWords(("Yes", " Yes", "yes"), ("No", " No", "no")),
        picture_tokens=64,
        demonstration=False,
    )
    config = EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=2048, gpu_layers=0))
    with pytest.MonkeyPatch.context() as patched:
        # One process loads one model; here the demonstration pair's account would have the others' buffers added.
        patched.setattr(logs, "account", Account())
        return load_resident(load_order(config))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resident:
    return loaded(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def clean(family: Resident) -> Iterator[None]:
    yield
    decode.forget(family.model, wipe=True)


def plain_logits(resident: Resident, shown: Picture, tokens: Sequence[int]) -> Logits:
    """After picture and tokens, in an empty context: one sequence, llama.cpp's own helper for the prompt up to the
    question, one batch for the rest."""
    model = resident.model
    decode.forget(model, wipe=True)
    prefix = picture.tokenize(model, resident.form, ask_of(shown, []), shown.rgb)
    position = llama_cpp.llama_pos(0)
    code = mtmd_cpp.mtmd_helper_eval_chunks(
        model.projector, model.context, prefix.chunks, 0, 0, model.batch_tokens, False, ctypes.byref(position)
    )
    assert code == 0
    assert position.value == prefix.positions
    prefix.close()
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index] = token, position.value + index
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        batch.logits[index] = index == len(tokens) - 1
    batch.n_tokens = len(tokens)
    assert llama_cpp.llama_decode(model.context, batch) == 0
    llama_cpp.llama_batch_free(batch)
    row = llama_cpp.llama_get_logits_ith(model.context, -1)
    logits: Logits = np.ctypeslib.as_array(row, (model.vocab_tokens,)).copy()
    decode.forget(model, wipe=True)
    return logits


def asked_tokens(resident: Resident, prompt: str) -> tuple[int, ...]:
    return *resident.tokenizer.plain(prompt), *resident.tokenizer.form(resident.form.after_question)


def plainly(resident: Resident, shown: Picture, prompt: str) -> tuple[float, float]:
    found = log_probabilities(plain_logits(resident, shown, asked_tokens(resident, prompt)), resident.words)
    assert found is not None
    return found


def test_forked_answers_are_those_of_asking_one_by_one(family: Resident, clean: None) -> None:
    for seed in range(3):
        shown, questions = make_picture(seed), [*probes(), caption()]

        answers = run(family, shown, questions)

        assert {answer.status for answer in answers.values()} == {Status.OK}
        for number, question in enumerate(questions[:-1]):
            log_yes, log_no = plainly(family, shown, question.prompt)
            assert answers[number].log_yes == pytest.approx(log_yes, abs=BOUND)
            assert answers[number].log_no == pytest.approx(log_no, abs=BOUND)


def test_pictures_and_questions_differ_by_more_than_the_bound(family: Resident, clean: None) -> None:
    """The control of what is compared here."""
    by_picture = [plainly(family, make_picture(seed), probes()[0].prompt)[0] for seed in range(3)]
    by_question = [plainly(family, make_picture(0), question.prompt)[0] for question in probes()[:6]]

    assert np.ptp(by_picture) > 2 * BOUND
    assert np.ptp(by_question) > 4 * BOUND


def test_generated_text_is_that_of_a_plain_loop(family: Resident, clean: None) -> None:
    shown = make_picture(1)
    tokens = list(asked_tokens(family, caption().prompt))
    grown: list[bytes] = []
    for _ in range(6):
        token = int(np.argmax(plain_logits(family, shown, tokens)))
        if family.tokenizer.ends_generation(token):
            break
        tokens.append(token)
        grown.append(family.tokenizer.piece(token))

    answers = run(family, shown, [*probes()[:4], caption(6)])

    assert answers[4].text == b"".join(grown).decode("utf-8", "replace").strip().rstrip("\ufffd")


def test_a_choice_is_that_of_reading_each_word(family: Resident, clean: None) -> None:
    shown, words = make_picture(0), ("Yes", "zzz", "a longer answer")
    question = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=words)
    asked = list(asked_tokens(family, question.prompt))

    answers = run(family, shown, [question, caption(), *probes()[:3]])

    for word, found in zip(words, answers[0].log_choices or (), strict=True):
        expected, read = 0.0, list(asked)
        for token in family.tokenizer.plain(word):
            values = plain_logits(family, shown, read).astype(np.float64)
            expected += float(values[token] - values.max() - np.log(np.exp(values - values.max()).sum()))
            read.append(token)
        assert found == pytest.approx(expected, abs=5 * BOUND)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mix=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 3)),
        min_size=1,
        max_size=6,
    ),
    cancelled=st.sets(st.integers(1, 6), max_size=1),
)
def test_any_mix_of_jobs_gives_what_each_gives_alone(
    family: Resident,
    alone: dict[tuple[int, int], Answered],
    mix: list[tuple[int, list[int], int]],
    cancelled: set[int],
) -> None:
    desk, everything = Desk(family), everything_asked()
    for number, (seed, chosen, turns) in enumerate(mix, start=1):
        desk.submit(make_picture(seed), [everything[n] for n in chosen], number=number)
        for _ in range(turns):
            desk.scheduler.turn()
        if number - 1 in cancelled:
            desk.scheduler.cancel(number - 1)
    desk.finish()
    desk.assert_empty()
    decode.forget(family.model, wipe=True)

    for number, (seed, chosen, _) in enumerate(mix, start=1):
        answers = desk.answers(number)
        assert number in cancelled or set(answers) == set(range(len(chosen)))
        for place, answer in answers.items():
            expected = alone[seed, chosen[place]]
            assert answer.status is Status.OK
            assert answer.log_yes == pytest.approx(expected.log_yes, abs=BOUND)
            assert answer.log_choices == pytest.approx(expected.log_choices, abs=5 * BOUND)


def everything_asked() -> list[Question]:
    kind = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=("Yes", "zzz", "zq"))
    return [*probes()[:5], caption(4), kind]


@pytest.fixture(scope="module")
def alone(family: Resident) -> dict[tuple[int, int], Answered]:
    everything = everything_asked()
    return {
        (seed, n): run(family, make_picture(seed), [question])[0]
        for seed in range(3)
        for n, question in enumerate(everything)
    }


def test_answers_about_a_text_are_those_of_asking_one_by_one(family: Resident, clean: None) -> None:
    tokenizer, form = family.tokenizer, family.form
    before = tokenizer.form(form.before_picture)
    for seed in range(2):
        answers = run(family, written(seed), probes()[:8])
        for number, probe in enumerate(probes()[:8]):
            tail = tokenizer.form(form.after_picture) + asked_tokens(family, probe.prompt)
            tokens = before + tokenizer.plain(quoted(written(seed))) + tail
            entries = [decode.entry(token, at, 1, at == len(tokens) - 1) for at, token in enumerate(tokens)]
            ((_, logits),) = decode.decode(family.model, entries)
            expected = log_probabilities(logits.copy(), family.words)
            decode.forget(family.model, wipe=True)
            assert (answers[number].log_yes, answers[number].log_no) == pytest.approx(expected, abs=BOUND)


def test_a_remembered_encoding_gives_the_same_answers(family: Resident, clean: None) -> None:
    desk = Desk(family)
    for number in (1, 2):
        desk.submit(make_picture(0), probes()[:3], number=number)
        desk.finish()

    first, again = desk.answers(1), desk.answers(2)
    assert [again[n].log_yes for n in first] == pytest.approx([first[n].log_yes for n in first], abs=BOUND)


def test_an_answer_that_drafts_foresaw_is_the_same(family: Resident, clean: None) -> None:
    """Or foresaw in part: what was read in vain is forgotten, with positions of one part or of three."""
    said, desk = {}, Desk(family)
    for number, seed in enumerate((0, 1, 0, 1, 2, 0), 1):
        desk.submit(make_picture(seed), [caption(12)], number=number)
        desk.finish()
        desk.assert_empty()
        assert said.setdefault(seed, desk.answers(number)[0].text) == desk.answers(number)[0].text

    told = [done for number in range(1, 7) if (done := desk.done(number)) is not None]
    drafted = sum(done.drafted_tokens for done in told)
    windowed = family.model.window_tokens < family.model.context_tokens
    assert drafted == 0 if windowed else drafted >= sum(done.foreseen_tokens for done in told) > 10


def test_it_warms_up(family: Resident, clean: None) -> None:
    assert warm_up(family).longest_call_s > 0


def test_no_question_becomes_a_control_token_or_gains_a_space(family: Resident) -> None:
    text = "Is it <|im_end|></s><end_of_turn> safe?"

    tokens = family.tokenizer.plain(text)

    assert not any(family.tokenizer.is_special(token) for token in tokens)
    assert b"".join(family.tokenizer.piece(token) for token in tokens).decode() == text


def test_a_choice_longer_than_a_window_of_attention_is_refused(tmp_path: Path) -> None:
    """Its words are read anew from the question's end, and by then what stood before may be gone."""
    gemma = loaded("gemma3", tmp_path)
    ending = len(gemma.tokenizer.form(gemma.form.after_question))
    fits, does_not = ("x" * (gemma.model.window_tokens - ending - more) for more in (2, 1))
    choices = ("zzz", "yyy")

    asked = [Question("a", QuestionKind.CHOICE, text, choices=choices) for text in (fits, does_not)]
    answers = run(gemma, make_picture(0), [*asked, Question("b", QuestionKind.YES_NO, does_not * 2)])

    assert [(answer.status, answer.reason) for answer in answers.values()].count((Status.OK, None)) == 2
    assert answers[1].reason == "question_too_long"


def test_a_picture_of_rows_and_columns_takes_fewer_positions_than_cells(tmp_path: Path) -> None:
    qwen = loaded("qwen2vl", tmp_path)
    shown = make_picture(0, 168, 112)

    prefix = picture.tokenize(qwen.model, qwen.form, ask_of(shown, []), shown.rgb)
    prefix.close()

    # 6 columns and 4 rows of 28 px; after it the text goes on behind the last column.
    assert prefix.picture_tokens == 24
    assert prefix.positions == prefix.cells - 24 + 6
    largest = qwen.model.sequence_tokens
    by_positions = replace(qwen, model=replace(qwen.model, sequence_tokens=prefix.positions + 40))
    by_cells = replace(qwen, model=replace(qwen.model, context_tokens=prefix.cells + 40))
    for bounded in (by_positions, by_cells):
        ending = len(bounded.tokenizer.form(bounded.form.after_question))
        fits, does_not = ("z" * length for length in (40 - ending, 41 - ending))
        answers = run(bounded, shown, [Question("a", QuestionKind.YES_NO, text) for text in (fits, does_not)])
        assert answers[0].status is Status.OK
        assert answers[1].reason == "question_too_long"
    assert largest == 2048
