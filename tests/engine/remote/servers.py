"""llama-cpp-python's own server, really running, with the demonstration pair."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.engine.base import ModelFiles

_REPOSITORY = Path(__file__).resolve().parents[3]
#: What `llama_cpp.server` imports beyond what llama-cpp-python installs.
_NEEDED = ("fastapi", "sse_starlette", "starlette_context")
_START_S = 90.0
SERVED_NAME = "demo"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def llama_cpp_server(files: ModelFiles, log: Path, **settings: str) -> Iterator[str]:
    """Its address. `settings` are options of the server."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"llama_cpp.server needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    port = free_port()
    options = {
        "model": str(files.model),
        "clip_model_path": str(files.projector),
        "chat_format": "mtmd",
        "host": "127.0.0.1",
        "port": str(port),
        "model_alias": SERVED_NAME,
        "n_ctx": "1024",
        "n_batch": "1024",
        "n_gpu_layers": "0",
        "n_threads": "1",
        "n_threads_batch": "1",
        "flash_attn": "true",
        "logits_all": "true",
        "verbose": "false",
        # Otherwise a request may end another that runs.
        "interrupt_requests": "false",
        **settings,
    }
    command = [sys.executable, "-m", "benchmarks.engine.llama_cpp_server"]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=out, stderr=out)
    try:
        _wait(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            # With a key set it answers, though not us.
            if not httpx.get(f"{url}/v1/models").is_server_error:
                return
        time.sleep(0.1)
    raise AssertionError(f"llama_cpp.server did not start:\n{log.read_text(errors='replace')[-2000:]}")
