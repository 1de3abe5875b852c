"""The worker's own objects in the test's process, where their insides can be looked at."""

import pytest

from app.engine.base import EngineConfig
from app.engine.process import load_order
from app.engine.worker.resident import Resident, load_resident


@pytest.fixture(scope="session")
def resident(demo_config: EngineConfig) -> Resident:
    return load_resident(load_order(demo_config))
