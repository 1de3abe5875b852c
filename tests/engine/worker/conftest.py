"""The worker's own objects in the test's process, where their insides can be looked at."""

from collections.abc import Iterator

import pytest

from app.engine.base import EngineConfig
from app.engine.process import load_order
from app.engine.worker import decode
from app.engine.worker.resident import Resident, load_resident
from tests.engine.worker.desk import Desk


@pytest.fixture(scope="session")
def resident(demo_config: EngineConfig) -> Resident:
    return load_resident(load_order(demo_config))


@pytest.fixture
def desk(resident: Resident) -> Iterator[Desk]:
    found = Desk(resident)
    yield found
    decode.forget(resident.model, wipe=True)
