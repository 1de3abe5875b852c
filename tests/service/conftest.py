"""The whole service as its users start it: a process of its own, the demonstration model, real OCR, a real database."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "docs" / "samples"

#: Longest that the service may take to start, or to load its model and its OCR networks, on a busy machine, in seconds.
READY_WITHIN_S = 120.0


@dataclass
class Service:
    """A running `portcullis serve`. `policy` and `rules_dir` are its own copies, free to edit."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    policy: Path
    rules_dir: Path
    log_path: Path
    environment: dict[str, str]

    @property
    def key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=70)

    def moderate(self, picture: Path | bytes, **fields: str) -> httpx.Response:
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
        with self.client() as client:
            return client.post("/v1/moderate", files={"file": ("upload", data)}, data=fields)

    def engine_process(self) -> psutil.Process:
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "app.engine.worker" in " ".join(child.cmdline()):
                return child
        raise AssertionError("the service has no engine process")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`portcullis …` beside the service, on the same data."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def wait_ready(self) -> None:
        wait_until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, "the service is ready", READY_WITHIN_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def wait_until(condition: object, what: str, timeout_s: float = 30.0) -> None:
    """Poll `condition()`; a connection that is refused meanwhile counts as not yet."""
    deadline_at = time.monotonic() + timeout_s
    while time.monotonic() < deadline_at:
        try:
            if callable(condition) and condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def start(folder: Path, **settings: str) -> Service:
    """Start `portcullis serve` on a free port, with everything it writes in `folder`."""
    policy = Path(shutil.copy(REPOSITORY / "policies.yaml", folder))
    rules_dir = Path(shutil.copytree(REPOSITORY / "rules", folder / "rules"))
    log_path = folder / "log.txt"
    environment = {
        **os.environ,
        "PORTCULLIS_PORT": "0",
        "PORTCULLIS_DATA_DIR": str(folder / "var"),
        "PORTCULLIS_POLICY": str(policy),
        "PORTCULLIS_RULES_DIR": str(rules_dir),
        "PORTCULLIS_MEDIA_WORKERS": "1",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"], cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        )

    def address() -> str | None:
        if process.poll() is not None:
            raise AssertionError(f"the service ended at once:\n{log_path.read_text(errors='replace')}")
        found = re.search(r"Portcullis on (http://\S+)", log_path.read_text(errors="replace"))
        return found[1] if found else None

    try:
        wait_until(address, "the service prints its address", READY_WITHIN_S)
        url = address()
        assert url is not None
        return Service(process, url, folder / "var", policy, rules_dir, log_path, environment)
    except BaseException:
        process.kill()
        process.wait()
        raise


def end(service: Service) -> None:
    """Stop it, and make sure that none of its processes is left."""
    family = psutil.Process(service.process.pid).children(recursive=True) if service.process.poll() is None else []
    try:
        if service.process.poll() is None:
            service.stop()
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
    _, left = psutil.wait_procs(family, timeout=10)
    for process in left:
        process.kill()
    assert not left, f"the service left {[process.cmdline() for process in left]} behind"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start(tmp_path_factory.mktemp("service"))
    try:
        running.wait_ready()
        yield running
    finally:
        end(running)
