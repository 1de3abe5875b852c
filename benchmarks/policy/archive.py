"""A database of made-up decisions, written fast: what a busy month leaves behind."""

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.domain import (
    CodesFinding,
    Findings,
    ImageFacts,
    KeywordFinding,
    KeywordMatch,
    ProbeFinding,
    ProbeReading,
    SceneFinding,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    UploadContext,
)
from app.store import Database

PROBES = tuple(f"p{number}" for number in range(8))
LISTS = ("contraband", "scams")
_BATCH = 5000


async def make(path: Path, decisions: int, ruleset: str, *, seed: int = 7) -> None:
    """`ruleset` is the digest that decided them. One upload in fifty had no OCR, one in a hundred lost an answer."""
    database = Database(f"sqlite:///{path}")
    await database.start()
    await database.aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        rows = _rows(random.Random(seed), decisions, ruleset)  # noqa: S311 - pictures that never were
        while batch := [row for _, row in zip(range(_BATCH), rows, strict=False)]:
            connection.executemany(
                "INSERT INTO decisions (id, created_at, outcome, degraded, key_id, image_sha256, ruleset_digest,"
                " media_type, decision, findings, context) VALUES (?, ?, ?, 0, 'k', ?, ?, 'image/png', '{}', ?, ?)",
                batch,
            )
        connection.commit()


def _rows(chance: random.Random, decisions: int, ruleset: str) -> Iterator[tuple[str, ...]]:
    start = datetime.now(UTC) - timedelta(days=28)
    context = UploadContext(surface="chat").model_dump_json()
    variety = [findings(chance).model_dump_json() for _ in range(min(decisions, 2000))]
    for number in range(decisions):
        at = start + timedelta(days=28 * number / decisions)
        outcome = chance.choices(["pass", "review", "reject"], [90, 7, 3])[0]
        yield (
            f"dec_{number:024x}",
            at.strftime("%Y-%m-%d %H:%M:%S.%f"),
            outcome,
            f"{number:064x}",
            ruleset,
            variety[number % len(variety)],
            context,
        )


def findings(chance: random.Random) -> Findings:
    """Of a picture that never was."""
    ocr = Status.TIMEOUT if chance.random() < 1 / 50 else Status.OK
    matches = [_match(chance) for _ in range(chance.choices([0, 1, 3], [90, 8, 2])[0])]
    return Findings(
        image=ImageFacts(
            sha256="0" * 64,
            width=chance.randrange(64, 4000),
            height=chance.randrange(64, 4000),
            format=chance.choice(["jpeg", "png", "webp"]),
            size_bytes=chance.randrange(1000, 4_000_000),
            pdq="f0" * 32,
            pdq_quality=90,
        ),
        probes={name: ProbeFinding(readings=(_reading(chance),)) for name in PROBES},
        ocr=TextFinding(status=ocr, lines=tuple(_line(chance) for _ in range(chance.randrange(4)))),
        model_text=TextFinding(status=Status.SKIPPED, reason="not asked"),
        codes=CodesFinding(status=Status.OK),
        scene=SceneFinding(status=Status.OK, description="A person stands before a house and holds a loaf of bread."),
        keywords=KeywordFinding(
            sources={
                TextSource.OCR: Status.OK,
                TextSource.CAPTION: Status.OK,
                TextSource.QR: Status.OK,
                TextSource.SCENE: Status.OK,
            },
            matches=tuple(matches),
        ),
    )


def _reading(chance: random.Random) -> ProbeReading:
    if chance.random() < 1 / 800:
        return ProbeReading(frame=0, language="en", status=Status.TIMEOUT, reason="deadline")
    yes = chance.betavariate(0.5, 4) * 0.998 + 0.001
    return ProbeReading(
        frame=0, language="en", status=Status.OK, log_yes=math.log(yes * 0.99), log_no=math.log((1 - yes) * 0.99)
    )


def _line(chance: random.Random) -> TextLine:
    text = " ".join(chance.choice(["fresh", "bread", "every", "morning", "open", "until", "eight"]) for _ in range(4))
    x, y = chance.random() * 500, chance.random() * 500
    box = ((x, y), (x + 200.5, y), (x + 200.5, y + 30.25), (x, y + 30.25))
    return TextLine(text=text, confidence=round(chance.random(), 4), box=box)


def _match(chance: random.Random) -> KeywordMatch:
    name = chance.choice(LISTS)
    return KeywordMatch(
        list=name, category="goods", term="x", matched="x", source=TextSource.OCR, span=(0, 1), line=0, view="fold"
    )
