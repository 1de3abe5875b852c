from hypothesis import given
from hypothesis import strategies as st

from app.domain import QuestionKind
from app.engine.worker.plan import Prepared, groups

KINDS = st.sampled_from(QuestionKind)


@st.composite
def prepared(draw: st.DrawFn, cells: int) -> list[Prepared]:
    found = []
    for number in range(draw(st.integers(0, 30))):
        length = draw(st.integers(1, cells))
        kind = draw(KINDS)
        room = draw(st.integers(0, cells - length)) if kind is QuestionKind.GENERATE else 0
        found.append(Prepared(number, kind, (7,) * length, room))
    return found


@given(st.data(), st.integers(1, 60), st.integers(1, 8))
def test_no_group_takes_more_than_there_is_and_none_is_left_out(
    data: st.DataObject, cells: int, sequences: int
) -> None:
    questions = data.draw(prepared(cells))

    found = groups(questions, cells=cells, sequences=sequences)

    assert sorted(question.number for group in found for question in group) == list(range(len(questions)))
    for group in found:
        assert 0 < len(group) <= sequences
        assert sum(question.cells for question in group) <= cells


@given(st.data(), st.integers(1, 60))
def test_yes_no_questions_come_first_and_each_kind_keeps_its_order(data: st.DataObject, cells: int) -> None:
    questions = data.draw(prepared(cells))

    flat = [question for group in groups(questions, cells=cells, sequences=4) for question in group]

    assert flat == sorted(questions, key=lambda question: (question.kind is QuestionKind.GENERATE, question.number))
