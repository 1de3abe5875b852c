"""Deciding, beside what else could decide: `python -m benchmarks.policy.compare`.

The same rules over the same uploads, in turns within one run, in processor time. `rule-engine` is only asked where it
is installed (requirements/benchmarks.in). The others get an upload's facts ready made, and only uploads of which
everything is known; Portcullis begins with what was found.
"""

import argparse
import importlib.util
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cel_expr_python import cel

from app.domain import Evaluation, Findings, Truth, UploadContext
from app.policy.evaluate import LeafJudge, evaluate, see
from app.policy.ruleset import AllOf, AnyOf, Not, Ruleset, Tree
from benchmarks.policy.__main__ import policy
from benchmarks.policy.archive import findings

SIZES = (10, 50, 500)
UPLOADS = 20
CONTEXT = UploadContext(surface="chat")

OURS, TRUTHS, CEL, RULE_ENGINE = "Portcullis", "its truths alone", "bare CEL", "rule-engine"
#: What is not done, and so not paid for.
WITHOUT = {
    OURS: "nothing: calibration, unknowns, bounds, a trace of every condition, outcome, reasons",
    TRUTHS: "calibration, trace, outcome",
    CEL: "calibration, unknowns, bounds, trace, outcome",
    RULE_ENGINE: "calibration, unknowns, bounds, trace, outcome",
}


class Upload(NamedTuple):
    """`facts` are by their names in conditions."""

    found: Findings
    facts: dict[str, Any]


#: Decides one upload; gives how many rules are true.
Decide = Callable[[Upload], int]


def uploads(ruleset: Ruleset) -> list[Upload]:
    """Those of which everything is known that any rule asks for."""
    made: list[Upload] = []
    for seed in range(10 * UPLOADS):
        found = findings(random.Random(seed))  # noqa: S311 - pictures that never were
        facts: dict[str, Any] = {
            **see(ruleset, found, CONTEXT, model_digest=None).facts.known,
            **ruleset.program.thresholds,
        }
        if all(rule.names <= facts.keys() for rule in ruleset.program.rules):
            made.append(Upload(found, facts))
    return made[:UPLOADS]


def ours(ruleset: Ruleset) -> Decide:
    def decide(upload: Upload) -> int:
        made: Evaluation = evaluate(ruleset, upload.found, CONTEXT, model_digest=None)
        return sum(one.result is Truth.TRUE for one in made.rules)

    return decide


def truths(ruleset: Ruleset) -> Decide:
    """What the others do too: from facts to which rules are true."""
    program = ruleset.program

    def decide(upload: Upload) -> int:
        results = LeafJudge(program.compiler, upload.facts, {}).all(program.leaves)
        rules = zip(program.rules, program.pickers, strict=True)
        return sum(one.fold(pick(results)) is Truth.TRUE for one, pick in rules)

    return decide


def bare_cel(ruleset: Ruleset) -> Decide:
    """One expression a rule."""
    types = {"bool": cel.Type.BOOL, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING}
    env = cel.NewEnv(variables={name: types[kind.value] for name, kind in ruleset.program.compiler.kinds.items()})
    compiled = [env.compile(written(rule.tree, _CEL)) for rule in ruleset.program.rules]

    def decide(upload: Upload) -> int:
        activation = env.Activation(upload.facts)
        return sum(one.eval(activation).value() is True for one in compiled)

    return decide


def rule_engine(ruleset: Ruleset) -> Decide:
    """One expression a rule; facts under names without dots, which are the quickest for it."""
    import rule_engine as library  # noqa: PLC0415 - only where it is installed

    compiled = [library.Rule(written(rule.tree, _RULE_ENGINE)) for rule in ruleset.program.rules]
    known = ruleset.program.compiler.kinds

    def decide(upload: Upload) -> int:
        facts = {_undotted(name): value for name, value in upload.facts.items() if name in known}
        return sum(one.matches(facts) for one in compiled)

    return decide


class _Words(NamedTuple):
    both: str
    either: str
    negated: str
    name: Callable[[str], str]


def _undotted(name: str) -> str:
    return name.replace(".", "_")


_CEL = _Words("&&", "||", "!", lambda name: name)
_RULE_ENGINE = _Words("and", "or", "not ", _undotted)


def written(tree: Tree, words: _Words) -> str:
    """A rule as one expression."""
    match tree:
        case AnyOf(parts=parts) | AllOf(parts=parts):
            word = words.either if isinstance(tree, AnyOf) else words.both
            return "(" + f" {word} ".join(written(part, words) for part in parts) + ")"
        case Not(part=part):
            return f"{words.negated}({written(part, words)})"
        case _:
            text = tree.text
            for name in sorted(tree.names, key=len, reverse=True):
                text = text.replace(name, words.name(name))
            return text


def measured(ruleset: Ruleset, rounds: int) -> dict[str, float]:
    """CPU milliseconds a decision, by contender: the median of the rounds, each of which has all of them in turn."""
    contenders = {OURS: ours(ruleset), TRUTHS: truths(ruleset), CEL: bare_cel(ruleset)}
    if importlib.util.find_spec("rule_engine") is not None:
        contenders[RULE_ENGINE] = rule_engine(ruleset)
    given = uploads(ruleset)
    for upload in given:
        said = {name: decide(upload) for name, decide in contenders.items()}
        assert len(set(said.values())) == 1, said
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            decide = contenders[name]
            began = time.process_time()
            for upload in given:
                decide(upload)
            taken[name].append((time.process_time() - began) / len(given) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


def draw(results: dict[int, dict[str, float]], path: Path) -> None:
    import matplotlib  # noqa: PLC0415 - only who wants a plot needs it

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4))
    for name in next(iter(results.values())):
        sizes = [size for size in results if name in results[size]]
        axes.plot(sizes, [results[size][name] for size in sizes], marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="rules of three conditions", ylabel="CPU ms a decision")
    axes.set_xticks(list(results), [str(size) for size in results])
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--plot", type=Path, help="draw into this PNG")
    options = parser.parse_args()
    results = {size: measured(policy(size), options.rounds) for size in SIZES}
    print(f"| rules | contender | CPU ms a decision | of {OURS}'s | without |\n| ---: | --- | ---: | ---: | --- |")
    for size, by_name in results.items():
        for name, ms in by_name.items():
            print(f"| {size} | {name} | {ms:.3f} | {ms / by_name[OURS]:.2f}× | {WITHOUT[name]} |")
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} a core, Python {platform.python_version()}")
    if options.plot is not None:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
