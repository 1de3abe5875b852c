"""Drafts make an answer quicker and never another, whatever is guessed."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Question, QuestionKind, Status
from app.engine.worker import decode
from app.engine.worker.drafting import Drafting, most_tokens
from app.engine.worker.job import Asking
from app.engine.worker.model import Model
from app.engine.worker.ngrams import Guess
from app.engine.worker.pace import FLAT, Pace
from app.engine.worker.plan import Prepared
from app.engine.worker.protocol import Answered
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits
from tests.engine.jobs import BOUND, caption, probes
from tests.engine.jobs import picture as make_picture
from tests.engine.worker.desk import Desk, narrow, run, undrafted

#: 54 tokens with its marks.
TEXT = "abcdefghijklmnopqrstuvwxyz" * 2
#: Each grows by its own rule: freely, to a limit, to a stop, held to a schema.
GROWING = [
    caption(12),
    Question("short", QuestionKind.GENERATE, "Describe the image.", 3),
    Question("stopped", QuestionKind.GENERATE, "Describe the image.", 12, stop=("e",)),
    Question("held", QuestionKind.GENERATE, "Which?", 60, json_schema=f'{{"const": "{TEXT}"}}'),
    Question("open", QuestionKind.GENERATE, "Which?", 9, json_schema='{"type": "string", "maxLength": 3}'),
]
EVERYTHING = [*probes()[:3], Question("kind", QuestionKind.CHOICE, "Which?", choices=("Yes", "zzz", "zq")), *GROWING]


@pytest.fixture
def clean(resident: Resident) -> Iterator[None]:
    yield
    decode.forget(resident.model, wipe=True)


@pytest.fixture(scope="module")
def grown(resident: Resident) -> dict[tuple[int, tuple[int, ...]], list[int]]:
    """The tokens that are said of each picture to each question that generates."""
    found: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    with pytest.MonkeyPatch.context() as patched:
        for seed in range(3):

            def learn(_: object, asking: Asking, *, whole: bool, seed: int = seed) -> None:
                found[seed, _key(asking.question)] = list(asking.grown)

            patched.setattr(Drafting, "learn", learn)
            for question in GROWING:
                run(undrafted(resident), make_picture(seed), [question])
    return found


def _key(question: Prepared) -> tuple[int, ...]:
    return (*question.tokens, question.max_tokens, len(question.stop))


@pytest.fixture(scope="module")
def undrafted_answers(resident: Resident) -> dict[tuple[int, int], Answered]:
    plain = undrafted(resident)
    return {
        (seed, place): run(plain, make_picture(seed), [question])[0]
        for seed in range(3)
        for place, question in enumerate(EVERYTHING)
    }


def turns(desk: Desk, number: int, questions: Sequence[Question], seed: int = 0) -> int:
    """Until the job is done."""
    desk.submit(make_picture(seed), questions, number=number)
    for count in range(1000):
        if desk.done(number) is not None:
            return count
        desk.turn()
    raise AssertionError("it never ends")


def test_an_answer_that_comes_again_takes_few_steps(desk: Desk) -> None:
    held = GROWING[3]
    first, again = turns(desk, 1, [held]), turns(desk, 2, [held])

    # A step says the token that is due and seven that were foreseen.
    assert again <= first / 5
    texts = [desk.answers(number)[0].text for number in (1, 2)]
    assert [json.loads(text or "") for text in texts] == [TEXT, TEXT]
    told = [(done.drafted_tokens, done.foreseen_tokens) for done in (desk.done(1), desk.done(2)) if done]
    assert told[0] == (0, 0)
    assert 40 <= told[1][1] <= told[1][0] < 54
    desk.assert_empty()


def test_none_is_read_where_it_would_cost_more_than_it_spares(resident: Resident, clean: None) -> None:
    dear = Pace(((1, 1.0), (2, 10.0)))
    desk = Desk(resident, pace=dear)
    turns(desk, 1, probes()[:1])

    assert turns(desk, 2, [GROWING[3]]) == turns(desk, 3, [GROWING[3]])


def test_none_is_read_where_it_is_switched_off(resident: Resident, clean: None) -> None:
    desk = Desk(undrafted(resident))
    turns(desk, 1, probes()[:1])

    assert turns(desk, 2, [GROWING[3]]) == turns(desk, 3, [GROWING[3]])


def test_none_is_read_where_attention_has_a_window(resident: Resident) -> None:
    assert most_tokens(resident.model, 8) == 8
    assert most_tokens(replace(resident.model, window_tokens=resident.model.context_tokens - 1), 8) == 0


class Prompter:
    """Guesses what will be said, up to some place, and something else from there."""

    def __init__(self, desk: Desk, grown: dict[tuple[int, tuple[int, ...]], list[int]], seeds: Sequence[int]) -> None:
        self._desk, self._grown, self._seeds = desk, grown, seeds
        self._chance = random.Random(len(seeds) * 101 + sum(seeds))  # noqa: S311 - a test

    def guesses(self, asking: Asking) -> list[Guess]:
        job = next(job for job in self._desk.scheduler._active if asking in job.asking.values())
        answer = self._grown[self._seeds[job.ask.job - 1], _key(asking.question)][len(asking.grown) :]
        right = self._chance.choice([0, 0, 1, 2, 5, 20])
        wrong = [self._chance.randrange(self._desk.model.vocab_tokens) for _ in range(20)]
        tokens = [*answer[:right], *wrong][: min(8, asking.question.max_tokens - len(asking.grown) - 1)]
        return [Guess(token, 0.9**place) for place, token in enumerate(tokens, 1)]


#: Answers that grow do so in batches of their own.
APART = Pace(((1, 1.0), (2, 100.0)))
ASKED = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.sampled_from(range(len(EVERYTHING))), min_size=1, max_size=6),
        st.integers(0, 6),
        st.just(set()) | st.sets(st.integers(0, 5), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60)
@given(asked=ASKED, places=st.sampled_from([1, 2, 8]), pace=st.sampled_from([FLAT, APART]))
def test_whatever_is_guessed_the_answers_are_the_same(
    resident: Resident,
    grown: dict[tuple[int, tuple[int, ...]], list[int]],
    undrafted_answers: dict[tuple[int, int], Answered],
    *,
    asked: list[tuple[int, list[int], int, set[int]]],
    places: int,
    pace: Pace,
) -> None:
    """Of several pictures at once, some of their questions given up halfway: each ends as it does by itself without
    drafts, and all that was held is free."""
    desk = Desk(narrow(resident, places))
    desk.scheduler._pace = pace
    prompter = Prompter(desk, grown, [seed for seed, *_ in asked])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Drafting, "_guesses", prompter.guesses)
        for number, (seed, chosen, turns_between, given_up) in enumerate(asked, 1):
            desk.submit(make_picture(seed), [EVERYTHING[place] for place in chosen], number, number % 2)
            for _ in range(turns_between):
                desk.turn()
            desk.scheduler.cancel(number, given_up)
        desk.finish()
    desk.assert_empty()
    decode.forget(resident.model, wipe=True)

    for number, (seed, chosen, _, given_up) in enumerate(asked, 1):
        answers = desk.answers(number)
        assert set(answers) | given_up >= set(range(len(chosen)))
        for place, answer in answers.items():
            assert answer.status is Status.OK
            expected = undrafted_answers[seed, chosen[place]]
            assert (answer.text, answer.truncated) == (expected.text, expected.truncated)
            assert answer.log_yes == pytest.approx(expected.log_yes, abs=BOUND)
            assert answer.log_no == pytest.approx(expected.log_no, abs=BOUND)
            assert answer.log_choices == pytest.approx(expected.log_choices, abs=2 * BOUND)


def test_drafts_are_right_in_part(
    resident: Resident,
    clean: None,
    grown: dict[tuple[int, tuple[int, ...]], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of the test above, which would hold without any draft as well."""
    kept, strayed, real = [0], [0], Asking.grow

    def grow(asking: Asking, token: int) -> bool:
        foreseen = real(asking, token)
        kept[0] += foreseen
        strayed[0] += asking.strayed
        return foreseen

    desk = Desk(resident)
    prompter = Prompter(desk, grown, [0])
    monkeypatch.setattr(Asking, "grow", grow)
    monkeypatch.setattr(Drafting, "_guesses", prompter.guesses)
    desk.submit(make_picture(0), GROWING)
    desk.finish()

    assert kept[0] > 10
    assert strayed[0] > 3


def test_drafted_answers_grow_in_batches_of_their_own(
    resident: Resident,
    clean: None,
    grown: dict[tuple[int, tuple[int, ...]], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other control: with this pace a step is of several batches, some of them with drafts."""
    desk, real, drafted = Desk(resident), decode.decode, [0]
    desk.scheduler._pace = APART
    prompter = Prompter(desk, grown, [0])

    def counted(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        sequences = {entry.sequences[0] for entry in entries}
        others = {sequence for job in desk.scheduler._active for sequence in job.asking} - sequences
        drafted[0] += len(sequences) == 1 and len(entries) > 1 and bool(others)
        return real(model, entries)

    monkeypatch.setattr(Drafting, "_guesses", prompter.guesses)
    monkeypatch.setattr(decode, "decode", counted)
    desk.submit(make_picture(0), GROWING)
    desk.finish()

    assert drafted[0] >= 3


def asking_of(number: int, pending: int, grown: Sequence[int] = ()) -> Asking:
    question = Prepared(number, QuestionKind.GENERATE, (1, 2), 9)
    return Asking(question, number, 5, (2,) * pending, object(), grown=list(grown))


def drafting_that_knows(resident: Resident, *answer: int) -> Drafting:
    drafting = Drafting(resident.model, 7, FLAT)
    for _ in range(9):
        drafting.learn(asking_of(1, 1, answer), whole=False)
    return drafting


def test_it_drafts_beside_a_question_that_is_read(resident: Resident) -> None:
    growing, reading = asking_of(1, 1, [7]), asking_of(2, 5)

    drafting_that_knows(resident, 7, 8, 9).draft([growing, reading])

    assert (growing.draft, reading.draft) == ((8, 9), ())


def test_no_more_is_read_than_one_batch_holds(resident: Resident) -> None:
    model = replace(resident.model, outputs=8, tile_tokens=0)
    known = drafting_that_knows(replace(resident, model=model), 7, 8, 9, 10)
    for others in range(1, 9):
        growing = asking_of(1, 1, [7])
        known.draft([growing, asking_of(2, others)])
        assert len(growing.draft) == max(0, min(3, 6 - 1 - others))


def test_an_answer_is_drafted_no_longer_than_it_may_be(resident: Resident) -> None:
    """Its last token is not read any more: no cell is promised for it."""
    known = drafting_that_knows(resident, *range(10, 30))
    for said in range(1, 9):
        growing = asking_of(1, 1, range(10, 10 + said))
        known.draft([growing])
        assert len(growing.draft) == min(7, 9 - said - 1)


def test_what_may_be_no_numbers_is_asked_again_without_drafts(
    resident: Resident, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft whose numbers are none must not make the question fail that it was read for."""
    held, real, met = GROWING[3], decode.decode, list[int]()
    turns(desk, 1, [held])

    def poisoned(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        rows = Counter(sequence for entry in entries for sequence in entry.wanted)
        for sequence, logits in real(model, entries):
            if rows[sequence] > 1:
                logits[:] = np.nan
                met.append(sequence)
            yield sequence, logits

    monkeypatch.setattr(decode, "decode", poisoned)
    turns(desk, 2, [held])

    assert met
    assert desk.answers(2)[0].status is Status.OK
    assert json.loads(desk.answers(2)[0].text or "") == TEXT
