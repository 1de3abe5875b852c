"""A model that is missing or broken: the service says so, and what it cannot judge goes to a person."""

from pathlib import Path

import httpx
import pytest

from tests.service.conftest import READY_WITHIN_S, REPOSITORY, SAMPLES, end, start, wait_until

DEMO = REPOSITORY / "models" / "demo"


def corrupt_model(folder: Path) -> Path:
    path = folder / "corrupt.gguf"
    path.write_bytes((DEMO / "model.gguf").read_bytes()[:100_000])
    return path


@pytest.mark.parametrize("kind", ["missing", "corrupt"])
def test_uploads_are_answered_as_degraded_review(tmp_path: Path, kind: str) -> None:
    model = tmp_path / "nowhere.gguf" if kind == "missing" else corrupt_model(tmp_path)
    service = start(tmp_path, PORTCULLIS_MODEL=str(model), PORTCULLIS_PROJECTOR=str(DEMO / "mmproj.gguf"))
    try:
        wait_until(
            lambda: httpx.get(f"{service.url}/readyz").json().get("components", {}).get("media_workers") == "ready",
            "everything but the engine is ready",
            READY_WITHIN_S,
        )
        ready = httpx.get(f"{service.url}/readyz")
        assert ready.status_code == 503
        assert ready.json()["components"]["engine"] == "not_ready"
        decision = service.moderate(SAMPLES / "bakery.png").json()
        assert (decision["outcome"], decision["degraded"]) == ("review", True)
        assert any(name.startswith("probes.") for name in decision["degraded_by"])
        assert decision["findings"]["ocr"]["status"] == "ok"
        assert decision["case_id"]
        rejected = service.moderate(SAMPLES / "forged-papers.png").json()
        assert rejected["outcome"] == "reject", "what the text says does not need the model"
        with service.client() as client:
            status = client.get("/v1/status").json()
        assert model.name in (status["engine"]["detail"] or "")
    finally:
        end(service)
