"""A policy as one surface has it: thresholds of its own, and rules that are otherwise than elsewhere."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.domain import Mode, Outcome
from app.errors import PolicyProblem
from app.policy.breath import at_once
from app.policy.cel_syntax import Call, Name, walk
from app.policy.draft import Draft
from app.policy.fields import MIN_DIVISOR
from app.policy.ruleset import CompiledRule, Program, Ruleset, program_steps
from app.policy.schema import Rule, RuleOverride, Surface
from app.policy.source import Path, Source
from app.policy.vocabulary import did_you_mean

_DIVISIONS = ("_/_", "_%_")


def surface_program(base: Program, compiled: Iterable[CompiledRule], name: str, surface: Surface) -> Program:
    """What decides on the surface; `compiled` are all rules of the policy, drafts too."""
    return at_once(surface_steps(base, compiled, name, surface))


def surface_steps(
    base: Program, compiled: Iterable[CompiledRule], name: str, surface: Surface
) -> Generator[None, None, Program]:
    """As `surface_program`, a step for each rule."""
    own = {f"thresholds.{threshold}": value for threshold, value in surface.thresholds.items()}
    # A threshold keeps the type that its conditions were compiled for.
    thresholds = {name: type(value)(own.get(name, value)) for name, value in base.thresholds.items()}
    rules = (rule for one in compiled if (rule := _as_on(one, name, surface, own)) is not None)
    return (yield from program_steps(base.compiler, thresholds, rules, surface=name, own_thresholds=frozenset(own)))


def _as_on(one: CompiledRule, name: str, surface: Surface, own_thresholds: Mapping[str, object]) -> CompiledRule | None:
    """None where the rule is off."""
    rule = _overridden(one.rule, surface.rules.get(one.id))
    if rule is None:
        return None
    differs = rule is not one.rule or not own_thresholds.keys().isdisjoint(one.names)
    return replace(one, rule=rule, surface=name) if differs else one


def _overridden(rule: Rule, override: RuleOverride | None) -> Rule | None:
    """None where the rule is off."""
    if override is None:
        return rule
    if override.mode == "off":
        return None
    changed: dict[str, Mode | Outcome] = {}
    if override.mode is not None:
        changed["mode"] = Mode(override.mode)
    if override.then is not None:
        changed["then"] = override.then
    return rule.model_copy(update=changed)


def threshold_places(ruleset: Ruleset) -> dict[str, int | float]:
    """Every place where the policy gives a threshold, with its value: `thresholds.reject`, or
    `surfaces.avatar.thresholds.reject`."""
    return {program.place(name): value for program in ruleset.programs for name, value in program.thresholds.items()}


def place_of(threshold: str) -> str:
    """The place of a threshold that is called `reject` or `surfaces.avatar.thresholds.reject`."""
    return threshold if threshold.startswith("surfaces.") else f"thresholds.{threshold}"


def check_surfaces(draft: Draft, source: Source) -> Iterator[PolicyProblem]:
    """What the surfaces say of thresholds and rules that are not, or cannot be so."""
    rules = {rule.id: rule for rule in draft.rules.values()}
    for name, surface in draft.surfaces.items():
        for threshold, value in surface.thresholds.items():
            yield from _threshold(draft, source, ("surfaces", name, "thresholds", threshold), threshold, value)
        for rule_id, override in surface.rules.items():
            path: Path = ("surfaces", name, "rules", rule_id)
            if rule_id not in draft.ids["rules"]:
                hint = did_you_mean(rule_id, draft.ids["rules"])
                yield source.key_problem(path, f"there is no rule `{rule_id}`", hint=hint)
            elif override.then is not None and rule_id in rules and rules[rule_id].overrides:
                message = f"`{rule_id}` is an allow rule: a surface can change its `mode`, and not what it does"
                yield source.key_problem((*path, "then"), message)


def _threshold(draft: Draft, source: Source, path: Path, name: str, value: int | float) -> Iterator[PolicyProblem]:
    if name not in draft.ids["thresholds"]:
        hint = did_you_mean(name, draft.ids["thresholds"])
        yield source.key_problem(path, f"there is no threshold `{name}`", hint=hint)
    elif isinstance(draft.thresholds.get(name), int) and not float(value).is_integer():
        message = f"`thresholds.{name}` is a whole number, and so it is on every surface"
        yield source.problem(path, message, hint=f"write `{name}: {draft.thresholds[name]}.0` in `thresholds`")


def check_divisors(
    surfaces: Mapping[str, Surface], compiled: Sequence[CompiledRule], source: Source
) -> Iterator[PolicyProblem]:
    """Division by a threshold is compiled with the value that it has elsewhere."""
    divisors = {
        node.args[1].name.removeprefix("thresholds.")
        for one in compiled
        for leaf in one.leaves
        for node in walk(leaf.tree)
        if isinstance(node, Call) and node.function in _DIVISIONS and isinstance(node.args[1], Name)
    }
    for name, surface in surfaces.items():
        for threshold, value in surface.thresholds.items():
            if threshold in divisors and abs(value) < MIN_DIVISOR:
                message = "a condition divides by this threshold: it must not be zero"
                yield source.problem(("surfaces", name, "thresholds", threshold), message)
