"""The tests share a machine by its cores and its memory, and what takes long is begun first."""

import pytest

from tests.workers import turn, workers

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "memory_gib", "expected"), [(2, 7, 2), (8, 7, 3), (2, 24, 2), (16, 64, 16), (4, 1, 1), (1, 64, 1)]
)
def test_cores_and_memory_both_bound_the_workers(cores: int, memory_gib: int, expected: int) -> None:
    assert workers(cores, memory_gib * GIB) == expected


def test_files_of_one_room_stay_together_and_long_ones_come_first() -> None:
    rooms = [
        "tests/audit/test_chain.py::test_x",
        "tests/web/test_browser.py::test_y",
        "tests/service/test_serve.py::test_z",
    ]
    assert sorted(rooms, key=turn) == [rooms[2], rooms[1], rooms[0]]
    assert turn("tests/test_logs.py::test_x") == turn("tests/audit/test_chain.py::test_x")
