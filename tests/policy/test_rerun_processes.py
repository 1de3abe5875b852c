"""The processes of a backtest end with the service, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]

#: A parent that starts one process of a backtest, tells its pid, and waits to be killed.
_PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from app.policy.load import load_ruleset
from app.policy.rerun import Given, _prepare
from app.signals.keywords import AhoCorasickMatcher
from app.store import Database, SqlArchive

def main():
    ruleset = load_ruleset(Path("policies.yaml"), Path("rules"))
    archive = SqlArchive(Database("sqlite:///never-opened.db"))
    context = multiprocessing.get_context("spawn")
    given = Given(ruleset.source, ruleset.lists, AhoCorasickMatcher, {}, archive.opener())
    with ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(given, context.Event())) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        time.sleep(600)

main()
"""


def test_a_process_of_a_backtest_outlives_no_killed_service() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=30)
