"""The demonstration pair, and engines that really run it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.engine.base import EngineConfig, ModelFiles
from app.engine.catalogue import Catalogue, load_catalogue, resolve
from app.engine.local import LocalEngine

MODELS = Path(__file__).resolve().parents[2] / "models"
START_S = 60.0


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue(MODELS / "catalogue.yaml")


@pytest.fixture(scope="session")
def demo(catalogue: Catalogue) -> ModelFiles:
    return resolve(catalogue, "demo", models_dir=MODELS)


@pytest.fixture(scope="session")
def demo_config(demo: ModelFiles) -> EngineConfig:
    return EngineConfig(files=demo, threads=1, context_tokens=2048)


@pytest.fixture(scope="session")
async def shared_engine(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """One process for all tests that leave it alive."""
    engine = LocalEngine(demo_config)
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()


@pytest.fixture
async def own_engine(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """A process that the test may kill."""
    engine = LocalEngine(demo_config)
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()
