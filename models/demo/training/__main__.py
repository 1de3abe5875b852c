"""`python -m training <command>`, from models/demo. `evaluate` and `sheet` need the service's environment (llama.cpp)
and no PyTorch; the others need training's."""

import argparse
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--photos", type=Path, default=_HERE / "build/photos", help="where the packages are unpacked")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="download the photo packages with apt")
    train = commands.add_parser("train", help="train both towers")
    train.add_argument("--out", type=Path, default=_HERE / "build/run")
    train.add_argument("--see-steps", type=int, default=2200, help="steps of learning to see (default %(default)s)")
    train.add_argument(
        "--answer-steps", type=int, default=3700, help="steps of learning to answer (default %(default)s)"
    )
    train.add_argument("--calm-steps", type=int, default=1000, help="steps of leaving photographs alone (%(default)s)")
    train.add_argument("--start-from", type=Path, help="a folder with a GGUF pair to go on from, instead of nothing")
    train.add_argument("--peak", type=float, default=1.0, help="share of the learning rates (default %(default)s)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="cpu")
    train.add_argument("--processes", type=int, default=2, help="of one thread each; 1 on a GPU")
    train.add_argument("--batch", type=int, default=24, help="pictures of 160×160 per process and step")
    train.add_argument("--large", action="store_true", help="larger towers, for a GPU")
    train.add_argument("--resume", action="store_true")
    export = commands.add_parser("export", help="write the GGUF pair, reference logits and curve of a training run")
    export.add_argument("--out", type=Path, default=_HERE / "build/run")
    install = commands.add_parser("install", help="put an exported pair, its digests and its reference where they ship")
    install.add_argument("--out", type=Path, default=_HERE / "build/run")
    for name, text in (("evaluate", "the table of figures"), ("sheet", "a sheet of pictures with answers")):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--pair", type=Path, help="folder of model.gguf and mmproj.gguf; the shipped pair otherwise"
        )
        command.add_argument("--renders", type=int, default=4000)
        command.add_argument("--seed", type=int, default=2_026_11)
        command.add_argument("--out", type=Path, required=name == "sheet", help="the file to write")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    commands = {
        "fetch": _fetch,
        "train": _train,
        "export": _export,
        "install": _install,
        "evaluate": _evaluate,
        "sheet": _sheet,
    }
    commands[arguments.command](arguments)


def _quiet() -> None:
    """The engine tells of every job; here only trouble is news."""
    import structlog  # noqa: PLC0415

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))


# Each command imports what it needs: no environment has everything.


def _fetch(arguments: argparse.Namespace) -> None:
    from .photos import fetch  # noqa: PLC0415

    fetch(arguments.photos)


def _train(arguments: argparse.Namespace) -> None:
    from .photos import load  # noqa: PLC0415
    from .render import Renderer, load_sprites  # noqa: PLC0415
    from .shape import LARGE, Shape  # noqa: PLC0415
    from .train import Plan, train  # noqa: PLC0415

    photos, cutouts = load(arguments.photos)
    sprites = load_sprites()
    renderers = tuple(Renderer(sprites, photos, cutouts, held_out=held_out) for held_out in (False, True))
    plan = Plan(
        out=arguments.out,
        see_steps=arguments.see_steps,
        answer_steps=arguments.answer_steps,
        calm_steps=arguments.calm_steps,
        seed=arguments.seed,
        device=arguments.device,
        processes=arguments.processes,
        batch=arguments.batch,
        start_from=arguments.start_from,
        peak=arguments.peak,
    )
    train(plan, LARGE if arguments.large else Shape(), (renderers[0], renderers[1]), resume=arguments.resume)


def _export(arguments: argparse.Namespace) -> None:
    from .curve import plot  # noqa: PLC0415
    from .export import describe, export, load_checkpoint  # noqa: PLC0415
    from .parity import write_reference  # noqa: PLC0415
    from .render import Renderer, load_sprites  # noqa: PLC0415

    model = load_checkpoint(arguments.out / "checkpoint.pt")
    export(model, arguments.out)
    write_reference(model, Renderer(load_sprites(), [], [], held_out=True), arguments.out / "reference.npz")
    plot(arguments.out / "curve.csv", arguments.out / "curve.png")
    print(describe(model))  # noqa: T201


def _install(arguments: argparse.Namespace) -> None:
    from .install import install  # noqa: PLC0415

    install(arguments.out)


def _evaluate(arguments: argparse.Namespace) -> None:
    from .evaluate import evaluate, table  # noqa: PLC0415
    from .photos import load  # noqa: PLC0415
    from .render import Renderer, load_sprites  # noqa: PLC0415
    from .service import Service, demo_files  # noqa: PLC0415

    photos, cutouts = load(arguments.photos)
    renderer = Renderer(load_sprites(), photos, cutouts, held_out=True)
    _quiet()
    with Service(demo_files(arguments.pair)) as service:
        text = table(evaluate(service, renderer, photos, renders=arguments.renders, seed=arguments.seed))
    print(text)  # noqa: T201
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _sheet(arguments: argparse.Namespace) -> None:
    import numpy as np  # noqa: PLC0415

    from .photos import freely_shown, load  # noqa: PLC0415
    from .render import Mix, Renderer, draw_size, load_sprites  # noqa: PLC0415
    from .service import Service, demo_files  # noqa: PLC0415
    from .sheet import draw, sample  # noqa: PLC0415

    photos, _ = load(arguments.photos)
    renderer = Renderer(load_sprites(), freely_shown(photos), [], held_out=True)
    rng = np.random.default_rng(arguments.seed)
    drawn = [renderer.draw(rng, draw_size(rng), Mix()) for _ in range(120)]
    _quiet()
    with Service(demo_files(arguments.pair)) as service:
        draw(service, sample(drawn), arguments.out)


if __name__ == "__main__":
    main()
