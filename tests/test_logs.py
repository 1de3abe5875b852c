"""A failure is logged with its traceback and without the values it had in hand: pictures, captions, keys."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import structlog
from app.logs import configure_logs

def fail(caption):
    raise RuntimeError("told")

configure_logs(level="info", as_json=sys.argv[1] == "json")
try:
    fail("a tell" + "tale")
except RuntimeError as error:
    structlog.get_logger("test").error("failed", action="failed", exc_info=error)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_carry_no_local_values(form: str) -> None:
    run = subprocess.run([sys.executable, "-c", _PROGRAM, form], capture_output=True, text=True, check=True, timeout=60)
    assert "RuntimeError: told" in run.stderr
    assert "telltale" not in run.stderr
