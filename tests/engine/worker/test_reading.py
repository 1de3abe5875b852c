"""What questions have in common is read once, and each reads all of its own in order."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Question, QuestionKind, Status
from app.engine.worker import decode
from app.engine.worker.job import Asking
from app.engine.worker.model import Model
from app.engine.worker.pace import FLAT, Pace
from app.engine.worker.plan import Prepared
from app.engine.worker.reading import batches, next_entries, parts
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits
from tests.engine.jobs import BOUND, picture, probes
from tests.engine.worker.desk import Desk, run

Tokens = tuple[int, ...]
#: Few different tokens, so that many begin alike.
TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple), min_size=1, max_size=6)
START = 10


def asking(tokens: Tokens, sequence: int, about: object) -> Asking:
    question = Prepared(number=sequence, kind=QuestionKind.YES_NO, tokens=tokens, max_tokens=0)
    return Asking(question, sequence, START, tokens, come_to=about)


def trie(texts: Sequence[Tokens]) -> set[Tokens]:
    return {text[: n + 1] for text in texts for n in range(len(text))}


@given(pictures=st.lists(TEXTS, min_size=1, max_size=3), room=st.integers(1, 9))
def test_each_reads_all_of_its_own_in_order_and_what_is_common_once(pictures: list[list[Tokens]], room: int) -> None:
    """Of several pictures, in steps of any size: what a question is joined to stands in its batches before it, at
    the next position, and holds the same all the way."""
    asked = [
        asking(text, 100 * number + place, about)
        for number, (texts, about) in enumerate((texts, object()) for texts in pictures)
        for place, text in enumerate(texts)
    ]
    read: dict[int, list[int]] = {one.sequence: [] for one in asked}
    wanted: Counter[int] = Counter()
    entries = 0
    while left := [one for one in asked if one.pending]:
        step = next_entries(left, room)
        assert 1 <= len(step) <= room
        entries += len(step)
        for entry in step:
            assert len({tuple(read[sequence]) for sequence in entry.sequences}) == 1
            assert len({sequence // 100 for sequence in entry.sequences}) == 1
            for sequence in entry.sequences:
                assert entry.position == START + len(read[sequence])
                read[sequence].append(entry.token)
            for sequence in entry.wanted:
                wanted[sequence] += 1
                assert tuple(read[sequence]) == next(o.question.tokens for o in asked if o.sequence == sequence)
    assert {one.sequence: list(one.question.tokens) for one in asked} == read
    assert wanted == Counter(read.keys())
    assert entries >= sum(len(trie(texts)) for texts in pictures)
    if room >= sum(len(text) for texts in pictures for text in texts):
        assert entries == sum(len(trie(texts)) for texts in pictures)


def test_an_answer_that_grows_goes_first_and_is_nobody_elses() -> None:
    """Two that say the same may part at the next token."""
    job = object()
    grown = [asking((1, 2), sequence, job) for sequence in (1, 2)]
    next_entries(grown, 10)
    for one in grown:
        one.grow(7)

    step = next_entries([asking((5, 6, 7), 3, job), *grown], 3)

    assert [(entry.token, entry.sequences) for entry in step] == [(7, [1]), (7, [2]), (5, [3])]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[list[decode.Entry]]:
    """What goes through the model with questions in it, step by step."""
    found: list[list[decode.Entry]] = []
    real = decode.decode

    def recorded(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        found.append(list(entries))
        return real(model, entries)

    monkeypatch.setattr(decode, "decode", recorded)
    return found


def test_probes_that_are_worded_alike_are_read_once_as_far_as_that_goes(
    resident: Resident, steps: list[list[decode.Entry]]
) -> None:
    ending = resident.tokenizer.form(resident.form.after_question)
    texts = [(*resident.tokenizer.plain(probe.prompt), *ending) for probe in probes()]

    answers = run(resident, picture(0), probes())

    (reading,) = [step for step in steps if any(entry.wanted for entry in step)]
    assert len(reading) == len(trie(texts)) < sum(map(len, texts))
    assert {answer.status for answer in answers.values()} == {Status.OK}


def test_what_is_common_may_be_longer_than_a_step(resident: Resident, steps: list[list[decode.Entry]]) -> None:
    """Also the same question twice, and one with which another begins."""
    common = "x" * (resident.model.step_tokens + 60)
    texts = [*(f"{common}{ending}" for ending in ("", "z", "zz", "z", "zx")), "xz"]
    questions = [Question(f"{n}", QuestionKind.YES_NO, text) for n, text in enumerate(texts)]
    assert len(texts) * len(common) > resident.model.context_tokens
    alone = [run(resident, picture(0), [question])[0] for question in questions]
    steps.clear()

    together = run(resident, picture(0), questions)

    for number, one in enumerate(alone):
        assert together[number].log_yes == pytest.approx(one.log_yes, abs=BOUND)
        assert together[number].log_no == pytest.approx(one.log_no, abs=BOUND)
    shared = [entry for step in steps for entry in step if len(entry.sequences) > 1]
    assert len(shared) > resident.model.step_tokens
    assert together[1].log_yes == together[3].log_yes


def test_answers_are_kept_out_of_a_batch_whose_attention_is_tiled() -> None:
    answers = [decode.entry(5, 40, sequence, True) for sequence in (1, 2)]
    question = [decode.entry(6, 30 + n, 3, n == 9) for n in range(10)]
    entries = [*answers, *question]

    assert batches(entries, {1, 2}, 12) == [answers, question]
    assert batches(entries, {1, 2}, 13) == [entries]
    assert batches(entries, {1, 2}, 0) == [entries]
    assert batches(question, {1, 2}, 4) == [question]
    assert batches(answers, {1, 2}, 2) == [answers]


def test_answers_grow_apart_where_two_at_once_take_longer_than_one_after_the_other() -> None:
    #: As measured with 8-bit weights: two for more than twice one, eight for little more than four.
    dear = Pace(((1, 3.7), (2, 10.0), (4, 15.5), (8, 16.2), (16, 17.2)))
    one, other, *more = (decode.entry(1, START, sequence, True) for sequence in range(1, 9))

    assert parts([one, other], range(9), dear) == [[one], [other]]
    assert parts([one, other], range(9), FLAT) == [[one, other]]
    assert parts([one, other, *more], range(9), dear) == [[one, other, *more]]


def test_what_an_answer_reads_stays_in_one_batch() -> None:
    dear = Pace(((1, 1.0), (2, 1.1), (3, 1.2), (4, 9.0)))
    drafted = [decode.entry(1, START + place, 1, True) for place in range(3)]
    other = decode.entry(1, START, 2, True)

    assert parts([*drafted, other], range(9), dear) == [drafted, [other]]


def test_a_batch_with_a_question_in_it_is_not_taken_apart() -> None:
    dear = Pace(((1, 1.0), (2, 100.0)))
    shared = decode.Entry(1, START, [2, 3], [2, 3])
    answer = decode.entry(1, START, 1, True)

    assert parts([answer, shared], {1}, dear) == [[answer, shared]]


@pytest.mark.parametrize("tiled", [True, False])
def test_another_pictures_answer_is_the_same_beside_many_questions_or_apart(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, tiled: bool
) -> None:
    """One picture's answer grows while the other's questions, more tokens than a tile has, are read."""
    schema = json.dumps({"enum": ["an answer of so many words that it takes many steps"]})
    long = Question("long", QuestionKind.GENERATE, "What is it?", 60, json_schema=schema)
    alone = run(resident, picture(1), [long])[0].text
    many = [*probes(), *(Question(f"more-{n}", QuestionKind.YES_NO, f"{n} things?") for n in range(12))]
    expected = run(resident, picture(2), many)
    real, mixed = decode.decode, []

    def looked_at(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        grow = [len(entry.sequences) == 1 and bool(entry.wanted) for entry in entries]
        mixed.append(len(entries) >= 64 and grow[:1] == [True] and not all(grow))
        yield from real(model, entries)

    monkeypatch.setattr(decode, "decode", looked_at)
    tile_tokens = resident.model.tile_tokens if tiled else 0
    desk = Desk(replace(resident, model=replace(resident.model, tile_tokens=tile_tokens)))
    desk.submit(picture(1), [long], number=1)
    desk.submit(picture(2), many, number=2)
    desk.finish()
    decode.forget(resident.model, wipe=True)

    assert resident.model.tile_tokens == 64
    assert any(mixed) is not tiled
    assert desk.answers(1)[0].text == alone
    for number, answer in desk.answers(2).items():
        assert answer.log_yes == pytest.approx(expected[number].log_yes, abs=BOUND)
