"""How many listed terms are found from pixels, condition by condition: intake, RapidOCR, zxing-cpp and the matcher.

    .venv/bin/python -m benchmarks.text.pixels [--terms 40] [--seed 1] [--out var/benchmarks] [--only clean]

Prints a table and writes it (pixels.md) with a plot (pixels.png). Beside the matcher stands the usual way: the term as
a substring of the text that was read. Needs fonts-dejavu, fonts-liberation and fonts-noto-cjk.
"""

import argparse
import asyncio
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as Pil
from PIL import ImageDraw, ImageFont
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.domain import Image, KeywordList, Severity, Status, TextFinding, TextSource
from app.intake.decode import Intake, IntakeLimits
from app.logs import configure_logs
from app.media_pool import MediaPool
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.ocr import RapidOcrReader, load_ocr
from benchmarks.text.costs import costs
from benchmarks.text.pictures import CONDITIONS, PROMISED, encoded, fonts

ROOT = Path(__file__).resolve().parents[2]
TARGET = 0.97

_PATIENCE_S = 120.0
#: Plain terms, long enough to be asked for exactly.
_TERM = re.compile(r"[a-z]{3,}( [a-z]{2,}){0,3}|[\u4e00-\u9fff]{3,8}")


@dataclass
class Tally:
    asked: int = 0
    found: int = 0
    as_substring: int = 0
    unread: int = 0
    missed: list[str] = field(default_factory=list)


def listed_terms() -> tuple[str, ...]:
    lines = [line.strip() for path in sorted((ROOT / "rules").glob("*.txt")) for line in path.read_text().splitlines()]
    return tuple(dict.fromkeys(line for line in lines if _TERM.fullmatch(line)))


def as_list(terms: Sequence[str]) -> KeywordList:
    return KeywordList(
        name="asked",
        category="asked",
        severity=Severity.HIGH,
        languages=("en", "zh"),
        sources=frozenset({TextSource.OCR, TextSource.QR}),
        binding=False,
        terms=tuple(terms),
        digest="sha256:benchmark",
    )


class Bench:
    def __init__(self, pool: MediaPool, terms: Sequence[str]) -> None:
        self._intake = Intake(pool, IntakeLimits(timeout_s=_PATIENCE_S), b"benchmark")
        self._reader, self._codes = RapidOcrReader(pool), ZxingReader(pool)
        self._matcher, self._lists = AhoCorasickMatcher(), [as_list(terms)]

    async def ask(self, tally: Tally, data: bytes, term: str) -> None:
        image: Image = await self._intake.decode(await self._intake.inspect(data), timeout_s=_PATIENCE_S)
        ocr = await self._reader.read(image.frames, timeout_s=_PATIENCE_S)
        codes = (await self._codes.read(image.frames, timeout_s=_PATIENCE_S)).as_text
        texts = {TextSource.OCR: ocr, TextSource.QR: codes}
        matches = self._matcher.match(self._lists, texts).matches
        found = any(term in match.term for match in matches)
        tally.asked += 1
        tally.found += found
        tally.as_substring += any(term in _plain(text) for text in texts.values())
        tally.unread += any(text.status is not Status.OK for text in texts.values())
        if not found:
            tally.missed.append(f"{term} in “{' / '.join(line.text for line in ocr.lines)[:80]}”")


def _plain(text: TextFinding) -> str:
    return text.text.lower()


async def recall(pool: MediaPool, names: Sequence[str], count: int, seed: int) -> dict[str, Tally]:
    terms = listed_terms()
    bench = Bench(pool, terms)
    tallies = {name: Tally() for name in names}
    work = [(name, number) for name in names for number in range(count)]
    with _progress() as bar:
        task = bar.add_task("pictures", total=len(work))

        async def worker() -> None:
            while work:
                name, number = work.pop()
                draw = random.Random(f"{seed} {name} {number}")  # noqa: S311 - pictures, not secrets
                term = draw.choice([one for one in terms if one.isascii() == bool(number % 2)])
                await bench.ask(tallies[name], CONDITIONS[name](draw, term), term)
                bar.advance(task)

        await asyncio.gather(*(worker() for _ in range(2)))
    return tallies


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def table(tallies: dict[str, Tally], seconds: dict[str, float]) -> str:
    lines = ["| written | recall | exact substring | pictures |", "| --- | ---: | ---: | ---: |"]
    for name, tally in tallies.items():
        lines.append(
            f"| {name} | {tally.found / tally.asked:.1%} | {tally.as_substring / tally.asked:.1%} | {tally.asked} |"
        )
    promised = [tallies[name] for name in PROMISED if name in tallies]
    if promised:
        asked, found = sum(one.asked for one in promised), sum(one.found for one in promised)
        lines.append(f"| **the first {len(promised)} together** | **{found / asked:.1%}** | | {asked} |")
    lines += [
        "",
        "| 800×600 | CPU-s |",
        "| --- | ---: |",
        *(f"| {name} | {cpu_s:.2f} |" for name, cpu_s in seconds.items()),
    ]
    return "\n".join(lines) + "\n"


def plot(tallies: dict[str, Tally], path: Path) -> None:
    """Bars of recall, the exact substring's in grey behind them."""
    row, left, width = 30, 270, 560
    image = Pil.new("RGB", (left + width + 110, row * len(tallies) + 70), "white")
    pen, face = ImageDraw.Draw(image), ImageFont.truetype(str(fonts("en")[5]), 15)
    pen.text((left, 8), "Terms found from pixels (grey: exact substring; line: 97%)", fill="black", font=face)
    for number, (name, tally) in enumerate(tallies.items()):
        top, share = 40 + number * row, tally.found / tally.asked
        pen.text((10, top), name, fill="black", font=face)
        pen.rectangle((left, top, left + width * tally.as_substring / tally.asked, top + 20), fill="#c9ccd2")
        pen.rectangle((left, top + 4, left + width * share, top + 16), fill="#2f6fde" if share >= TARGET else "#d9822b")
        pen.text((left + width + 12, top), f"{share:.1%}", fill="black", font=face)
    pen.line((left + width * TARGET, 34, left + width * TARGET, 40 + len(tallies) * row), fill="#7a1f1f")
    path.write_bytes(encoded(image))


async def main(arguments: argparse.Namespace) -> int:
    names = [name for name in CONDITIONS if not arguments.only or name.startswith(arguments.only)]
    pool = MediaPool(2, memory_mb=3072, warm_up=[load_ocr])
    await pool.start()
    try:
        tallies = await recall(pool, names, arguments.terms, arguments.seed)
        seconds = await costs(pool)
    finally:
        await pool.aclose()
    said = table(tallies, seconds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "pixels.md").write_text(said)
    plot(tallies, arguments.out / "pixels.png")
    print(said)
    if arguments.missed:
        for name, tally in tallies.items():
            for missed in tally.missed:
                print(f"{name}: {missed}")
    unread = Counter({name: tally.unread for name, tally in tallies.items() if tally.unread})
    if unread:
        print(f"not read in full: {dict(unread)}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terms", type=int, default=40, help="pictures a condition")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "benchmarks")
    parser.add_argument("--only", help="conditions whose name begins so")
    parser.add_argument("--missed", action="store_true", help="name what was not found")
    configure_logs(level="error", as_json=False)
    sys.exit(asyncio.run(main(parser.parse_args())))
