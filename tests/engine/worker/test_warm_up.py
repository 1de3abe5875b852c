import numpy as np
import pytest

from app.engine.worker import decode, picture
from app.engine.worker.resident import Resident
from app.engine.worker.warm_up import warm_up
from app.errors import EngineUnavailable
from tests.engine.jobs import picture as make_picture
from tests.engine.jobs import probes
from tests.engine.worker.desk import Desk


def test_it_foretells_more_than_it_measured_and_leaves_nothing_behind(resident: Resident) -> None:
    warm = warm_up(resident)

    assert warm.longest_call_s > 0
    assert all(seconds > 0 for _, seconds in warm.pace.measured)
    desk = Desk(resident)
    desk.submit(make_picture(0), probes()[:1])
    desk.finish()
    desk.assert_empty()
    assert desk.answers()[0].reason is None
    decode.forget(resident.model, wipe=True)


def test_a_model_that_cannot_run_is_said_at_the_start(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    real = np.isfinite
    monkeypatch.setattr(picture.np, "isfinite", lambda values: real(values) & (np.ndim(values) != 2))

    with pytest.raises(EngineUnavailable, match="loads but cannot run: the projector gives no numbers"):
        warm_up(resident)
