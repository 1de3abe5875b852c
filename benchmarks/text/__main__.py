"""`python -m benchmarks.text`: recall by disguise, false hits in ordinary sentences, and what matching costs."""

import argparse
import logging
from collections.abc import Sequence

import structlog
from rich.console import Console
from rich.table import Table

from app.domain import KeywordList
from benchmarks.text.innocent import sentences
from benchmarks.text.recall import false_positives, finders, recall
from benchmarks.text.speed import measure
from benchmarks.text.terms import shipped, short_words


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=__doc__)
    parser.add_argument("--sentences", type=int, default=12_000, help="ordinary sentences to try")
    parser.add_argument("--missed", action="store_true", help="show some of what was missed and hit wrongly")
    parser.add_argument("--no-speed", action="store_true", help="leave the costs out")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=110)
    lists = {"the shipped lists": shipped(), "short words with allow phrases": (short_words(),)}
    for title, chosen in lists.items():
        _show_recall(console, title, chosen, missed=asked.missed)
    _show_false_positives(console, lists, sentences(asked.sentences), shown=10 if asked.missed else 0)
    if not asked.no_speed:
        _show_costs(console)


def _show_recall(console: Console, title: str, lists: Sequence[KeywordList], *, missed: bool) -> None:
    table = Table("disguise", "texts", *finders(lists), title=f"Found of {title}, %", title_justify="left")
    rows = recall(lists)
    for row in rows:
        if row.tried:
            table.add_row(row.evasion, str(row.tried), *(f"{100 * found / row.tried:.1f}" for found in row.found))
    console.print(table)
    if missed:
        for row in rows:
            for term, text in row.missed[:3]:
                console.print(f"  missed, {row.evasion}: {term!r} in {text!r}", markup=False)


def _show_false_positives(
    console: Console, lists: dict[str, tuple[KeywordList, ...]], innocent: Sequence[str], *, shown: int
) -> None:
    table = Table("list", *finders(shipped()), title=f"Hit of {len(innocent)} ordinary sentences")
    for title, chosen in lists.items():
        hits = false_positives(chosen, innocent)
        table.add_row(title, *(f"{len(hit)} ({100 * len(hit) / len(innocent):.3f}%)" for hit in hits.values()))
        for sentence in next(iter(hits.values()))[:shown]:
            console.print(f"  hit: {sentence!r}", markup=False)
    console.print(table)


def _show_costs(console: Console) -> None:
    costs = measure()
    table = Table("with 100,000 terms", "ms", title="Processor time", title_justify="left")
    for name, cost_ms in costs.match_ms.items():
        table.add_row(f"match 300 characters of {name}, all views", f"{cost_ms:.2f}")
    table.add_row("read the list", f"{costs.parse_ms:.0f}")
    table.add_row("build its automata", f"{costs.index_ms:.0f}")
    table.add_row("longest wait of an event loop meanwhile (by the clock)", f"{costs.longest_stall_ms:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
