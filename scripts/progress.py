"""Runs a slow command with its output in a log, and tells people how far it is."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: How ninja counts its steps.
_STEP = re.compile(r"\[(\d+)/(\d+)\]")
_TERMINAL_INTERVAL_S = 1.0
#: In a CI log each line stays.
_LOG_INTERVAL_S = 30.0
_TAIL_LINES = 30


class CommandFailed(Exception):
    """Carries what a person needs to read: the end of the output and where the rest is."""


def run_logged(label: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
    """Runs `command` and says `label`, the steps done and the seconds gone, until it ends.

    Raises CommandFailed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (
        log.open("w", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(  # noqa: S603  (pip and uv, with arguments made here)
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
        ) as process,
    ):
        steps = _Steps()

        def copy() -> None:
            assert process.stdout is not None  # noqa: S101  (stdout=PIPE)
            for line in process.stdout:
                output.write(line)
                output.flush()
                steps.see(line)

        reader = threading.Thread(target=copy, daemon=True)
        reader.start()
        _report_until_done(process, label, steps, started)
        reader.join()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-_TAIL_LINES:])
        raise CommandFailed(f"{tail}\n\nportcullis: {label} failed; the whole output is in {log}")


class _Steps:
    """The latest "[12/345]" seen; written by the reader thread, read by the reporter."""

    def __init__(self) -> None:
        self.text = ""

    def see(self, line: str) -> None:
        match = _STEP.search(line)
        if match is not None:
            self.text = f", step {match[1]} of {match[2]}"


def _report_until_done(process: "subprocess.Popen[str]", label: str, steps: _Steps, started: float) -> None:
    terminal = sys.stderr.isatty()
    interval_s = _TERMINAL_INTERVAL_S if terminal else _LOG_INTERVAL_S
    start, end = ("\r\033[K", "") if terminal else ("", "\n")
    if not terminal:
        say(label)
    while True:
        try:
            process.wait(timeout=interval_s)
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - started
            sys.stderr.write(f"{start}  {label}{steps.text} ({seconds:.0f} s){end}")
            sys.stderr.flush()
            continue
        seconds = time.monotonic() - started
        state = "done" if process.returncode == 0 else "failed"
        sys.stderr.write(f"{start}  {label}: {state} ({seconds:.0f} s)\n")
        sys.stderr.flush()
        return


def say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()
