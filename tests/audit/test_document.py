"""`docs/audit.md` lets others check the log: its example and its program must be right."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.audit.chain import GENESIS, GENESIS_HASH, ChainFault, SealedEntry, event_of, link_all, verify
from app.domain import AuditEvent

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _DOCUMENT, re.DOTALL)


def _example() -> list[SealedEntry]:
    genesis, *shown = _blocks("text")
    prev, entries = bytes.fromhex(genesis), []
    for seq, block in enumerate(shown, 1):
        body, digest = block.split()
        entries.append(SealedEntry(seq, prev, bytes.fromhex(digest), body.encode()))
        prev = entries[-1].hash
    return entries


def _check(tmp_path: Path, *pages: list[SealedEntry]) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "check.py"
    program.write_text(_blocks("python")[0])
    paths = []
    for number, page in enumerate(pages):
        path = tmp_path / f"{number}.json"
        entries = [{"seq": entry.seq, "hash": entry.hash.hex(), "body": entry.body.decode()} for entry in page]
        path.write_text(json.dumps({"entries": entries}))
        paths.append(str(path))
    command = [sys.executable, "-I", str(program), *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_example_is_what_sealing_makes() -> None:
    example = _example()

    assert len(example) == 2
    assert example[0].prev == GENESIS_HASH
    assert verify(example).sound
    assert link_all(GENESIS, [event_of(entry) for entry in example]) == example


def test_the_program_accepts_a_sound_log_in_pages(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    events = [
        AuditEvent(id=f"evt_{n}", kind="case.claimed", at=at, actor="Zoë", subject="两", body={"n": n})
        for n in range(7)
    ]
    chain = link_all(GENESIS, events)

    result = _check(tmp_path, chain[:4], chain[4:])

    assert result.returncode == 0
    assert result.stdout == f"7 entries hold; the last hash is {chain[-1].hash.hex()}\n"


def test_the_program_names_the_entry_that_was_altered(tmp_path: Path) -> None:
    first, second = _example()
    altered = replace(second, body=second.body.replace(b"reject", b"pass"))

    result = _check(tmp_path, [first, altered])

    assert (result.returncode, result.stderr) == (1, "the chain is broken at entry 2\n")


def test_every_fault_is_explained() -> None:
    for fault in ChainFault:
        assert f"| `{fault}` |" in _DOCUMENT
