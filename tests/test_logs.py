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


_UNREAD = """
import logging, os, sys
import structlog
from app.logs import configure_logs

configure_logs(level="info", as_json=sys.argv[1] == "json")
reader, writer = os.pipe()
os.dup2(writer, 2)
os.close(reader)
for number in range(3):
    structlog.get_logger("test").warning("nobody reads this", action="test", number=number)
    logging.getLogger("test").warning("nor this")
sys.stderr = open(os.devnull, "w")
sys.stderr.close()
structlog.get_logger("test").warning("nor this", action="test")
print("the work goes on")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_work_goes_on_when_nobody_reads_the_log(form: str) -> None:
    run = subprocess.run([sys.executable, "-c", _UNREAD, form], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "the work goes on\n", run.stderr
