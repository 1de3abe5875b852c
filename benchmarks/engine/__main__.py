"""The engine against other ways to ask the same files the same questions: `portcullis bench engine`.

The plot and `llama_cpp.server` need what `requirements/benchmarks.lock` lists. Without `--model` a random-weight pair
of `--shape` is written and used.
"""

import argparse
import asyncio
import importlib.util
import logging
import os
import tempfile
from pathlib import Path

import structlog

from app.engine.base import AnswerWords, ChatForm, ModelFiles
from app.engine.catalogue import load_catalogue
from benchmarks.engine import contenders, gpu, limits, report
from benchmarks.engine.contenders import Bench, Contender
from benchmarks.engine.kept import KeptRounds
from benchmarks.engine.measure import Case, Times, rounds
from benchmarks.engine.pairs import KINDS, write_pair
from benchmarks.engine.questions import FULL, PROBES_ONLY
from benchmarks.engine.shapes import SHAPES, YoutuShape

ROOT = Path(__file__).resolve().parents[2]
_CATALOGUED = "youtu-vl-4b"
_CONTENDERS = ("usual", "server", "llama-server", "engine")


def main() -> None:
    given = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        model, projector = given.model, given.projector
        if model is None:
            where = given.pair or Path(folder)
            model, projector = where / "model.gguf", where / "mmproj.gguf"
            if not (where / "written").exists():
                print(f"writing a pair of the shape '{given.shape}' …", flush=True)
                write_pair(given.shape, where, given.type)
                (where / "written").touch()
        shape = None if given.model else given.shape
        asyncio.run(_run(given, pair_files(model, projector, shape)))


async def _run(given: argparse.Namespace, files: ModelFiles) -> None:
    bench = Bench(
        files=files,
        pictures=given.pictures or _pictures_needed(given),
        side_px=given.side,
        threads=given.threads or min(8, os.cpu_count() or 1),
        gpu_layers=given.gpu_layers,
        context_tokens=4096,
        draft_tokens=given.draft_tokens,
    )
    cases = _cases(given, bench)
    machine = f"{bench.threads} threads, {bench.gpu_layers} GPU layers"
    kept = KeptRounds(
        given.keep, f"{_files_said(given)}, {bench.side_px} px, {given.pictures_a_round} a round, {machine}"
    )
    named: dict[str, Contender] = {case.contender.name: case.contender for case in cases}
    running = [contender for name, contender in named.items() if kept.lacks(name, cases, given.rounds)]
    grown: dict[str, int] = {}
    try:
        for contender in running:
            before = gpu.used_bytes()
            await contender.start()
            grown[contender.name] = gpu.used_bytes() - before
        found = await rounds(cases, given.rounds, bench.pictures, kept, warm=not given.cold)
    finally:
        for contender in running:
            await contender.close()
    _write(given, cases, found, limits.memory(cases, found, grown) | _shares(given, cases, found, bench))


def _shares(given: argparse.Namespace, cases: list[Case], found: list[Times], bench: Bench) -> dict[str, list[str]]:
    cards = gpu.gpus()
    peak = given.peak or (gpu.peak_of(cards[0].name) if cards and bench.gpu_layers else None)
    return {} if peak is None else limits.shares(cases, found, bench.files, bench.side_px, peak)


def _pictures_needed(given: argparse.Namespace) -> int:
    """So many that none is shown twice to the same contender."""
    few: int = given.pictures_a_round
    a_round: int = 2 * few + sum(max(few, many) for many in given.concurrency if many > 1)
    return 1 + a_round * int(given.rounds)


def _cases(given: argparse.Namespace, bench: Bench) -> list[Case]:
    """Without a contender that was not wanted, or that needs what is not installed."""
    one_by_one: list[Contender] = [contenders.Usual(bench)] if "usual" in given.only else []
    if "server" in given.only and importlib.util.find_spec("fastapi"):
        one_by_one.append(contenders.llama_cpp_server(bench))
    servers = _llama_servers(given, bench) if "llama-server" in given.only else []
    one_by_one += servers
    engines: list[Contender] = []
    if "engine" in given.only:
        engines.append(contenders.Engine(bench, "this engine", parallel_pictures=given.parallel_pictures))
    few = given.pictures_a_round
    cases = [Case(contender, 1, "all", FULL, few) for contender in (*one_by_one, *engines)]
    at_once = [many for many in given.concurrency if many > 1]
    cases += [Case(other, many, "all", FULL, max(few, many)) for many in at_once[-1:] for other in servers]
    cases += [Case(engine, many, "all", FULL, max(few, many)) for many in at_once for engine in engines]
    cases += [Case(contender, 1, "probes", PROBES_ONLY, few) for contender in (*one_by_one[:1], *engines)]
    return cases


def _llama_servers(given: argparse.Namespace, bench: Bench) -> list[Contender]:
    """One for each way to ask it."""
    if given.llama_server is None:
        return []
    slots = max([8, *given.concurrency])
    return [contenders.llama_server(bench, given.llama_server, together=way, slots=slots) for way in (False, True)]


def _files_said(given: argparse.Namespace) -> str:
    return given.model.name if given.model else f"random weights, shape '{given.shape}', {given.type}"


def _write(given: argparse.Namespace, cases: list[Case], found: list[Times], more: dict[str, list[str]]) -> None:
    cards = ", ".join(f"{card.name}, {card.memory_bytes / 2**30:.0f} GiB" for card in gpu.gpus())
    settings = {
        "GPU": cards or "none",
        "files": _files_said(given),
        "pictures": f"{given.side}x{given.side} px, {given.rounds} rounds",
        "asked": "all: 6 probes + text + description (48 tokens each); probes: the 6 probes",
        "GPU layers": given.gpu_layers,
    }
    text = f"{report.facts(settings)}\n\n{report.table(cases, found, more)}\n"
    print(f"\n{text}")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "engine.md").write_text(text, encoding="utf-8")
        report.plot(cases, found, given.out / "engine.png")


def pair_files(model: Path, projector: Path, shape: str | None = None) -> ModelFiles:
    """Asked in Youtu-VL's form; a `shape` of another family in that of its own template."""
    entry = load_catalogue(ROOT / "models" / "catalogue.yaml").entry(_CATALOGUED)
    assert not isinstance(entry.chat_form, str)  # for the type checker: this entry spells its form out
    foreign = shape is not None and not isinstance(SHAPES[shape], YoutuShape)
    return ModelFiles(
        name="bench",
        model=model.resolve(),
        projector=projector.resolve(),
        chat_form=None if foreign else ChatForm(**entry.chat_form.model_dump()),
        words=AnswerWords(yes=entry.words.yes, no=entry.words.no),
        picture_tokens=entry.picture_tokens,
        demonstration=False,
    )


def _names(given: str) -> tuple[str, ...]:
    names = tuple(given.split(","))
    if not set(names) <= set(_CONTENDERS):
        raise argparse.ArgumentTypeError(f"must be some of {','.join(_CONTENDERS)}")
    return names


def _peak(given: str) -> gpu.Peak:
    tera, giga = (float(part) for part in given.split(","))
    if not (tera > 0 and giga > 0):
        raise ValueError
    return gpu.Peak(tera * 1e12, giga * 1e9)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="portcullis bench engine", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="quarter", help="of the random-weight pair")
    parser.add_argument("--type", choices=KINDS, default="f16", help="of its weights")
    parser.add_argument("--model", type=Path, help="a GGUF file instead; --projector belongs to it")
    parser.add_argument("--projector", type=Path)
    parser.add_argument("--side", type=int, default=448, help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=0, help="how many different ones; 0: none is shown twice")
    parser.add_argument("--pictures-a-round", type=int, default=2)
    parser.add_argument("--concurrency", type=int, nargs="*", default=[4, 16], help="uploads at once")
    parser.add_argument("--parallel-pictures", type=int, default=16, help="the engine's own bound")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--gpu-layers", type=int, default=0, help="-1 puts all on the GPU")
    parser.add_argument(
        "--draft-tokens",
        type=int,
        default=0,
        help="that the engine guesses from earlier answers; for real weights: random ones say the same of each picture",
    )
    parser.add_argument("--peak", type=_peak, help="TFLOPS,GB/s of the GPU, where its data sheet is not known here")
    parser.add_argument("--llama-server", type=Path, help="the path of llama.cpp's server, to measure it too")
    parser.add_argument("--only", type=_names, default=_CONTENDERS, help=f"of {','.join(_CONTENDERS)}")
    parser.add_argument("--cold", action="store_true", help="count the first round too: it takes as long as a round")
    parser.add_argument("--keep", type=Path, help="a file of rounds: those in it are not measured again")
    parser.add_argument("--pair", type=Path, help="a folder for the random weights, which are written there once")
    parser.add_argument("--out", type=Path, help="a folder for the table and the plot")
    given = parser.parse_args()
    if given.out is not None and importlib.util.find_spec("matplotlib") is None:
        # Said before an hour of measuring, not after it.
        parser.error("--out draws a plot, which needs matplotlib: pip install -r requirements/benchmarks.lock")
    if (given.model is None) != (given.projector is None):
        parser.error("--model and --projector belong together")
    return given


if __name__ == "__main__":
    main()
