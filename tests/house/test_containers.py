"""The images: what they copy exists, they run as nobody in particular, their health check asks the right question.

No Docker engine is needed or used.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.house.dockerfile import Stage, parse_dockerfile
from tests.house.tree import ROOT

_STAGES = {stage.name: stage for stage in parse_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))}
_RUNTIMES = ("cpu", "cuda")
_VARIABLES = {f"PORTCULLIS_{name.upper()}" for name in Settings.model_fields}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def environment(stage: Stage) -> dict[str, str]:
    pairs = [pair for instruction in stage.all("ENV") for pair in instruction.rest.split()]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


class TestDockerfile:
    def test_has_a_stage_for_each_machine_and_the_cpu_by_default(self) -> None:
        assert set(_RUNTIMES) <= set(_STAGES)
        assert list(_STAGES)[-1] == "cpu"

    @pytest.mark.parametrize("stage", _STAGES.values(), ids=list(_STAGES))
    def test_copies_what_exists_and_is_let_in(self, stage: Stage) -> None:
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
        for copy in stage.all("COPY"):
            if "from" in copy.options:
                assert list(_STAGES).index(copy.options["from"]) < list(_STAGES).index(stage.name)
                continue
            for source in copy.arguments[:-1]:
                assert (ROOT / source).exists(), source
                assert any(source == path or source.startswith(f"{path}/") for path in allowed), source

    def test_lets_in_nothing_that_is_made_here(self) -> None:
        lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        assert rules[0] == "*"
        assert not {"!var", "!.venv", "!models", "!.git"} & set(rules)

    @pytest.mark.parametrize("name", ["cpu-builder", "cuda-builder"])
    def test_builders_install_from_the_locks_for_other_machines_too(self, name: str) -> None:
        stage = _STAGES[name]
        assert any("-m scripts.environment runtime" in run.rest for run in stage.all("RUN"))
        assert any("-DGGML_NATIVE=OFF" in instruction.rest for instruction in stage.all("ENV"))
        assert not any("pip install" in run.rest for run in stage.all("RUN"))

    @pytest.mark.parametrize("name", _RUNTIMES)
    def test_runtimes_are_not_root_and_hold_no_compiler(self, name: str) -> None:
        stage = _STAGES[name]
        user = stage.only("USER").rest
        assert user.isdigit()
        assert int(user) > 0
        assert stage.instructions.index(stage.only("USER")) > max(
            stage.instructions.index(run) for run in stage.all("RUN")
        )
        assert not re.search(r"build-essential|cmake|-dev\b", " ".join(run.rest for run in stage.all("RUN")))

    @pytest.mark.parametrize("name", _RUNTIMES)
    def test_runtimes_set_only_what_the_service_reads(self, name: str) -> None:
        given = {key: value for key, value in environment(_STAGES[name]).items() if key.startswith("PORTCULLIS_")}
        assert set(given) <= _VARIABLES
        settings = Settings.model_validate(
            {key.removeprefix("PORTCULLIS_").lower(): value for key, value in given.items()}
        )
        # The guard on the demonstration model is the service's; an image must not lift it.
        assert (settings.loopback, settings.allow_demo_model) == (False, False)
        assert str(settings.data_dir) in json.loads(_STAGES[name].only("VOLUME").rest)
        assert _STAGES[name].only("EXPOSE").rest == str(settings.port)

    def test_runtimes_differ_only_in_where_they_come_from(self) -> None:
        tails = []
        for name in _RUNTIMES:
            stage = _STAGES[name]
            start = stage.instructions.index(stage.only("WORKDIR"))
            tails.append([(i.word, i.rest.replace(f"{name}-builder", "builder")) for i in stage.instructions[start:]])
        assert tails[0] == tails[1]

    def test_images_are_named_by_version(self) -> None:
        images = [stage.base for stage in _STAGES.values() if stage.base not in _STAGES and "$" not in stage.base]
        assert [image for image in images if image != "scratch" and (":" not in image or "latest" in image)] == []


class TestHealthCheck:
    @pytest.fixture(params=_RUNTIMES)
    def command(self, request: pytest.FixtureRequest) -> list[str]:
        rest = _STAGES[request.param].only("HEALTHCHECK").rest
        program = json.loads(rest[rest.index("CMD ") + 4 :])
        assert program[0] == "python3"
        return [sys.executable, *program[1:]]

    @pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
    def test_passes_when_the_service_says_so(self, command: list[str], status: int, healthy: bool) -> None:
        with answering(status) as (port, paths):
            done = subprocess.run(command, env={"PORTCULLIS_PORT": str(port)}, capture_output=True, check=False)
        assert (done.returncode == 0) is healthy
        assert paths == ["/healthz"]

    def test_fails_when_nobody_listens(self, command: list[str]) -> None:
        with answering(200) as (port, _):
            pass
        done = subprocess.run(command, env={"PORTCULLIS_PORT": str(port)}, capture_output=True, check=False)
        assert done.returncode != 0


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server on a free port, and the paths it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, paths
        finally:
            server.shutdown()
            thread.join()


class TestCompose:
    def services(self) -> dict[str, dict[str, Any]]:
        return {name: service for name, service in compose()["services"].items() if "build" in service}

    def test_builds_the_two_images(self) -> None:
        assert {service["build"]["target"] for service in self.services().values()} == set(_RUNTIMES)

    def test_starts_one_service_by_default(self) -> None:
        assert [name for name, service in compose()["services"].items() if not service.get("profiles")] == [
            "portcullis"
        ]

    def test_sets_only_what_the_service_reads(self) -> None:
        for service in self.services().values():
            assert set(service["environment"]) <= _VARIABLES

    def test_does_not_lift_the_guard_by_itself(self) -> None:
        for service in self.services().values():
            assert service["environment"]["PORTCULLIS_ALLOW_DEMO_MODEL"] == "${PORTCULLIS_ALLOW_DEMO_MODEL:-}"
            assert service["environment"]["PORTCULLIS_MODEL"] != "demo"

    def test_is_published_on_loopback_only(self) -> None:
        for service in compose()["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))

    def test_is_shut_tight(self) -> None:
        for service in self.services().values():
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]

    def test_waits_for_the_longest_deadline_when_told_to_stop(self) -> None:
        for service in self.services().values():
            assert int(service["stop_grace_period"].removesuffix("s")) > Settings.model_fields["max_deadline_s"].default

    def test_named_volumes_are_declared_and_kept_where_the_images_say(self) -> None:
        for service in self.services().values():
            mounts = dict(mount.split(":")[:2] for mount in service["volumes"] if not mount.startswith("$"))
            assert set(mounts) <= set(compose()["volumes"])
            assert set(mounts.values()) == set(json.loads(_STAGES["cpu"].only("VOLUME").rest))

    def test_holds_no_password(self) -> None:
        assert compose()["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"
