"""The whole service on a model that another server runs, and what becomes of uploads when that server goes."""

from pathlib import Path

import httpx
import pytest

from app.engine.base import ModelFiles
from app.errors import ConfigurationError
from app.main import build
from app.settings import Settings
from tests.engine.remote.servers import llama_cpp_server
from tests.service.conftest import SAMPLES, Service, end, start, wait_until


def status(service: Service) -> dict[str, object]:
    with service.client() as client:
        found: dict[str, object] = client.get("/v1/status").json()["engine"]
        return found


def test_decisions_of_a_server_and_without_it(demo: ModelFiles, tmp_path: Path) -> None:
    key = "sk-of-the-model-server"
    with llama_cpp_server(demo, tmp_path / "server.txt", api_key=key) as url:
        service = start(
            tmp_path,
            PORTCULLIS_ENGINE_URL=url,
            PORTCULLIS_ENGINE_KEY=key,
            PORTCULLIS_DEADLINE_S="60",
            # What images set by themselves: there is no such model here, and none is needed.
            PORTCULLIS_MODEL="youtu-vl-4b",
        )
        try:
            service.wait_ready()
            decision = service.moderate(SAMPLES / "bakery.png").json()
            assert decision["degraded_by"] == []
            assert {probe["status"] for probe in decision["findings"]["probes"].values()} == {"ok"}
            assert decision["pins"]["model"] == "unverified:demo"
            assert not any(probe["calibrated"] for probe in decision["findings"]["probes"].values())
            assert status(service)["state"] == "ready"
        except BaseException:
            end(service)
            raise
    try:
        wait_until(lambda: not httpx.get(f"{service.url}/readyz").is_success, "it is found to be gone", 60)
        decision = service.moderate(SAMPLES / "forged-papers.png").json()
        assert decision["outcome"] == "reject", "what the text says does not need the model"
        decision = service.moderate(SAMPLES / "bakery.png").json()
        assert (decision["outcome"], decision["degraded"]) == ("review", True)
        assert "cannot be reached" in str(status(service)["detail"])
        metrics = httpx.get(f"{service.url}/metrics").text
        assert "portcullis_engine_ready 0.0" in metrics
        assert "portcullis_engine_lost_total 1.0" in metrics
        assert key not in service.log()
    finally:
        end(service)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"engine_url": "http://user:hunter2@127.0.0.1"}, "PORTCULLIS_ENGINE_URL must not hold credentials"),
        ({"engine_key": "hunter2 "}, "PORTCULLIS_ENGINE_KEY must be"),
        ({"engine_model_digest": "hunter"}, "PORTCULLIS_ENGINE_MODEL_DIGEST must be"),
        ({"engine_ca_file": "/nowhere/ca.pem"}, "PORTCULLIS_ENGINE_CA_FILE: /nowhere/ca.pem: No such file"),
        ({"chat_form": "nobody"}, "there is no model 'nobody'"),
        ({"engine_model_digest": "demo", "host": "192.0.2.1"}, "is a demonstration and not a moderator"),
    ],
)
def test_what_must_not_run_is_said_before_anything_does(
    demo: ModelFiles, tmp_path: Path, settings: dict[str, str], problem: str
) -> None:
    if settings.get("engine_model_digest") == "demo":
        settings = settings | {"engine_model_digest": str(demo.model_digest)}
    given = Settings.model_validate({"engine_url": "http://127.0.0.1:1", "data_dir": tmp_path, **settings})
    with pytest.raises(ConfigurationError) as raised:
        build(given)
    assert problem in raised.value.detail
    assert "hunter2" not in raised.value.detail
    assert "hunter2" not in repr(given.engine_key)
