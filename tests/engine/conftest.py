"""The demonstration pair, and engines that really run it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.engine.base import AnswerWords, EngineConfig, ModelFiles
from app.engine.catalogue import Catalogue, load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.places import places
from app.engine.remote.config import RemoteConfig, server_url
from app.engine.remote.engine import RemoteEngine
from app.engine.runtime import Runtime
from tests.engine.remote.servers import llama_cpp_server
from tests.engine.tiny.pairs import write_pair

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
    return EngineConfig(files=demo, runtime=Runtime(threads=1, context_tokens=2048), parallel_pictures=8)


@pytest.fixture(scope="session")
async def shared_engine(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """One process for all tests that leave it alive."""
    engine = LocalEngine(demo_config)
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()


@pytest.fixture(scope="session")
async def qwen_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalEngine]:
    """A model of another family, given by path and asked in the form of its own template."""
    model, projector = write_pair("qwen2vl", tmp_path_factory.mktemp("qwen2vl"))
    files = ModelFiles(
        name="qwen2vl",
        model=model,
        projector=projector,
        chat_form=None,
        words=AnswerWords(("Yes", " Yes", "yes"), ("No", " No", "no")),
        picture_tokens=64,
        demonstration=False,
    )
    engine = LocalEngine(EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=2048)))
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()


async def ready(engine: LocalEngine, *, processes: int = 1) -> LocalEngine:
    """The engine once so many of its processes serve."""
    async with asyncio.timeout(START_S):
        while len(engine.pids) < processes:  # noqa: ASYNC110 - it says so through nothing else
            await asyncio.sleep(0.01)
    return engine


@pytest.fixture(scope="session")
async def shared_pair(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """Two processes for all tests that leave them alive."""
    engine = LocalEngine(replace(demo_config, places=places(None, 2, gpu_layers=-1)))
    await engine.start()
    yield await ready(engine, processes=2)
    await engine.aclose()


@pytest.fixture
async def own_pair(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """Two processes that the test may kill."""
    engine = LocalEngine(replace(demo_config, places=places(None, 2, gpu_layers=-1)))
    await engine.start()
    yield await ready(engine, processes=2)
    await engine.aclose()


@pytest.fixture
async def own_engine(demo_config: EngineConfig) -> AsyncIterator[LocalEngine]:
    """A process that the test may kill."""
    engine = LocalEngine(demo_config)
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()


@pytest.fixture(scope="session")
def remote_config(demo: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteConfig]:
    """Of a server that really runs the demonstration pair; or of the one that `TEST_ENGINE_URL` names, whatever it
    runs."""
    if url := os.environ.get("TEST_ENGINE_URL"):
        key = os.environ.get("TEST_ENGINE_KEY")
        yield RemoteConfig(
            url=server_url(url),
            words=demo.words,
            key=SecretStr(key) if key else None,
            model_digest=demo.model_digest,
            top_logprobs=int(os.environ.get("TEST_ENGINE_TOP_LOGPROBS", "20")),
        )
        return
    with llama_cpp_server(demo, tmp_path_factory.mktemp("server") / "log.txt") as url:
        # So long a list holds the words of any choice: this model thinks little of some.
        yield RemoteConfig(
            url=server_url(url), words=demo.words, model_digest=demo.model_digest, demonstration=True, top_logprobs=400
        )


@pytest.fixture(scope="session")
async def remote_engine(remote_config: RemoteConfig) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(remote_config)
    await engine.start()
    await engine.wait_ready(START_S)
    yield engine
    await engine.aclose()
