import asyncio
import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import QuestionKind, Status
from app.engine.worker.protocol import (
    Answered,
    Ask,
    AskedQuestion,
    BrokenFrame,
    Cancel,
    Done,
    FromEngine,
    ToEngine,
    frame,
    read,
    receive,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
QUESTIONS = st.builds(
    AskedQuestion, number=st.integers(0, 999), kind=st.sampled_from(QuestionKind), prompt=TEXT, max_tokens=st.just(3)
)
ORDERS = st.one_of(
    st.builds(
        Ask,
        job=st.integers(0, 2**31),
        width=st.integers(1, 9),
        height=st.integers(1, 9),
        remaining_s=st.floats(0, 60),
        questions=st.lists(QUESTIONS, max_size=4).map(tuple),
    ),
    st.builds(Cancel, job=st.integers(0, 2**31)),
)
REPORTS = st.one_of(
    st.builds(
        Answered,
        job=st.integers(0, 9),
        number=st.integers(0, 9),
        status=st.sampled_from(Status),
        reason=st.none() | TEXT,
        log_yes=st.none() | st.floats(-1e3, 0),
        log_no=st.none(),
        text=st.none() | TEXT,
        truncated=st.booleans(),
    ),
    st.builds(Done, job=st.integers(0, 9)),
)


async def received(data: bytes) -> FromEngine:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await receive(reader)


@given(st.lists(st.tuples(ORDERS, st.binary(max_size=40)), max_size=5))
def test_orders_arrive_as_they_were_sent(orders: list[tuple[ToEngine, bytes]]) -> None:
    pipe = io.BytesIO(b"".join(frame(order, len(payload)) + payload for order, payload in orders))

    assert [read(pipe) for _ in orders] == orders
    assert read(pipe) is None


@given(REPORTS)
async def test_reports_arrive_as_they_were_sent(report: FromEngine) -> None:
    assert await received(frame(report)) == report


@given(st.binary(max_size=60))
def test_garbage_is_an_end_or_a_broken_frame_never_a_message(data: bytes) -> None:
    with contextlib.suppress(BrokenFrame):
        assert read(io.BytesIO(data)) is None


def test_a_length_beyond_reason_is_not_waited_for() -> None:
    with pytest.raises(BrokenFrame):
        read(io.BytesIO(struct.pack(">II", 0xFFFFFFFF, 0)))


async def test_a_message_of_the_wrong_side_is_refused_without_quoting_it() -> None:
    with pytest.raises(BrokenFrame) as caught:
        await received(frame(Cancel(job=123456)))

    assert "123456" not in str(caught.value)


async def test_a_pipe_that_ends_within_a_frame_is_an_incomplete_read() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await received(frame(Done(job=1))[:-1])
