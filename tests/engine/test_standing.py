import itertools

import pytest

from app.domain import EngineInfo, EngineProcessInfo, EngineState
from app.engine.standing import overall


def processes(*states: EngineState, detail: str | None = None) -> list[EngineProcessInfo]:
    return [
        EngineProcessInfo(f"process {number}", state, None if state is EngineState.READY else detail or f"is {state}")
        for number, state in enumerate(states, 1)
    ]


@pytest.mark.parametrize("state", EngineState)
def test_one_process_is_the_engine(state: EngineState) -> None:
    (process,) = processes(state)

    assert overall([process]) == (state, process.detail)


def test_an_engine_is_ready_while_a_process_is_and_says_what_ails_the_others() -> None:
    assert overall(processes(EngineState.FAILED, EngineState.READY, EngineState.RESTARTING)) == (
        EngineState.READY,
        "process 1: is failed; process 3: is restarting",
    )
    assert overall(processes(EngineState.READY, EngineState.READY)) == (EngineState.READY, None)


def test_it_has_failed_only_when_none_has_hope() -> None:
    for one, other in itertools.product(EngineState, repeat=2):
        state, _ = overall(processes(one, other))
        assert state in {one, other}
        assert (state is EngineState.FAILED) == ({one, other} <= {EngineState.FAILED, EngineState.STOPPED}) or (
            one is other is EngineState.STOPPED
        )


def test_what_ails_all_alike_is_said_once() -> None:
    assert overall(processes(EngineState.FAILED, EngineState.FAILED, detail="no file")) == (
        EngineState.FAILED,
        "no file",
    )


@pytest.mark.parametrize(
    ("state", "detail", "degraded"), [("ready", None, False), ("ready", "gone", True), ("failed", "gone", False)]
)
def test_degraded_is_ready_with_something_to_say(state: str, detail: str | None, *, degraded: bool) -> None:
    assert EngineInfo("m", EngineState(state), demonstration=False, detail=detail).degraded is degraded
