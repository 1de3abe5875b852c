"""What is told of a job before the model runs."""

from dataclasses import replace
from pathlib import Path

from app.engine.worker import picture
from tests.engine.jobs import picture as make_picture
from tests.engine.jobs import probes
from tests.engine.worker.desk import Desk, ask_of
from tests.engine.worker.test_architectures import loaded


def test_a_picture_that_is_larger_than_any_step_is_refused_at_once(tmp_path: Path) -> None:
    """The tokens of gemma's pictures see each other, so they go through in one step or never."""
    gemma = loaded("gemma3", tmp_path)
    prefix = picture.tokenize(gemma.model, gemma.form, ask_of(make_picture(0), []), make_picture(0).rgb)
    prefix.close()
    too_small = replace(gemma, model=replace(gemma.model, step_tokens=prefix.picture_tokens - 1))
    desk = Desk(too_small)

    desk.submit(make_picture(0), probes()[:2])
    desk.scheduler.turn()

    assert {answer.reason for answer in desk.answers().values()} == {"picture_too_large_for_context"}
    assert desk.done() is not None
    desk.assert_empty()
