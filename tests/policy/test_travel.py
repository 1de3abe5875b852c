"""A ruleset is put together in pieces that are small whatever it is made of: uploads wait no longer than for one."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from app.policy.conditions import Compiler
from app.policy.load import build_ruleset
from app.policy.ruleset import CompiledRule
from app.policy.travel import Unpacker, pack

P = ParamSpec("P")
R = TypeVar("R")

HEAD = "version: 1\nthresholds: {wide: 9}\ncategories: {g: {title: {en: G}, severity: high}}\n"


def rule(at: int, when: str) -> str:
    return f"- {{id: r{at}, category: g, when: {when}, then: review, reason: {{en: x}}}}\n"


MANY = ", ".join(f'"image.width > {at}"' for at in range(300))
ONE_RULE = HEAD + "rules:\n" + rule(0, f"{{any: [{{all: [{MANY}]}}, {{not: image.width > thresholds.wide}}]}}")
ONE_SURFACE = (
    HEAD
    + "surfaces: {chat: {thresholds: {wide: 8}}}\nrules:\n"
    + "".join(rule(at, "image.width > thresholds.wide") for at in range(300))
)


@pytest.mark.parametrize("text", [ONE_RULE, ONE_SURFACE], ids=["conditions of a rule", "rules of a surface"])
def test_no_step_makes_many_things(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = build_ruleset(text.encode(), ())
    made = 0

    def counted(function: Callable[P, R]) -> Callable[P, R]:
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal made
            made += 1
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(Compiler, "take_over", counted(Compiler.take_over))
    monkeypatch.setattr(CompiledRule, "__post_init__", counted(CompiledRule.__post_init__))
    steps = Unpacker().steps(pack(expected), ())
    by_step = [0]
    while True:
        made = 0
        try:
            next(steps)
        except StopIteration as end:
            ruleset = end.value
            break
        finally:
            by_step.append(made)
    assert ruleset == expected
    assert sum(by_step) >= 300
    assert max(by_step) <= 2
