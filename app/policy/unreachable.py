"""Rules that could never decide, and comparisons that hold for nobody: told when the policy is loaded."""

from collections.abc import Iterator, Mapping

from app.domain import Mode
from app.errors import PolicyProblem
from app.policy.cel_syntax import Call, Name, walk
from app.policy.draft import Draft
from app.policy.reach import Ranges, Values, impossible, never_true, ranges_of
from app.policy.ruleset import CompiledRule, Program
from app.policy.schema import When
from app.policy.source import Path, Source
from app.policy.surfaces import surface_program

#: By their index in the policy.
Rules = Mapping[int, CompiledRule]


def check_reach(draft: Draft, source: Source, base: Program, rules: Rules) -> Iterator[PolicyProblem]:
    """`rules` are all sound ones, drafts too."""
    ranges = ranges_of(base.compiler.kinds)
    values = {f"thresholds.{name}": value for name, value in draft.thresholds.items()}
    unsound = set()
    for index, one in rules.items():
        if one.names & base.thresholds.keys() - values.keys():
            continue  # a threshold is unsound, and that is told
        said = [*_of_rule(source, index, one, _named(one, ranges), values)]
        unsound |= {one.rule.id} if said else set()
        yield from said
    yield from _set_aside_for_good(draft, source, rules)
    for name, surface in draft.surfaces.items():
        own = {f"thresholds.{threshold}" for threshold in surface.thresholds}
        there = {**values, **surface_program(base, (), name, surface).thresholds} if surface.thresholds else values
        for one in rules.values():
            if one.names & own and one.rule.id not in unsound:
                yield from _on_surface(source, name, one, _named(one, ranges), there)


def _named(one: CompiledRule, ranges: Ranges) -> Ranges:
    """Of what the rule speaks of: a policy may have a thousand names, and each cut copies what it is given."""
    return {name: ranges[name] for name in one.names if name in ranges}


def _of_rule(source: Source, index: int, one: CompiledRule, ranges: Ranges, values: Values) -> Iterator[PolicyProblem]:
    paths = _leaf_paths(one.rule.when, ("rules", index, "when"))
    found = False
    for path, leaf in zip(paths, one.leaves, strict=True):
        for comparison in impossible(leaf.tree, ranges, values):
            found = True
            hint = _what_it_sees(comparison, ranges, values)
            after = leaf.text[: comparison.at]
            yield source.problem(path, "this comparison is never true", hint=hint, after=after)
    if not found and never_true(one.tree, ranges, values):
        hint = "to switch a rule off, make it a draft: `mode: draft`"
        yield source.key_problem(("rules", index, "when"), f"`{one.rule.id}` can never be true", hint=hint)


def _on_surface(
    source: Source, surface: str, one: CompiledRule, ranges: Ranges, values: Values
) -> Iterator[PolicyProblem]:
    if never_true(one.tree, ranges, values):
        named = sorted(name.removeprefix("thresholds.") for name in one.names if name in values)
        own = [name for name in named if source.has(("surfaces", surface, "thresholds", name))]
        path: Path = ("surfaces", surface, *(("thresholds", own[0]) if own else ()))
        hint = f"to switch it off there: `rules: {{{one.rule.id}: {{mode: off}}}}`"
        yield source.key_problem(path, f"`{one.rule.id}` can never be true on this surface", hint=hint)


def _set_aside_for_good(draft: Draft, source: Source, rules: Rules) -> Iterator[PolicyProblem]:
    """By allow rules that need nothing to be known, where no surface has it otherwise."""
    elsewhere = {name for surface in draft.surfaces.values() for name in surface.rules}
    decided = {one.rule.id: one for one in rules.values()}
    for index, one in rules.items():
        if one.names or one.rule.id in elsewhere or one.rule.mode is not Mode.LIVE or never_true(one.tree, {}, {}):
            continue
        for at, name in enumerate(one.rule.overrides):
            if name in decided and name not in elsewhere and not decided[name].binding:
                path: Path = ("rules", index, "then", "pass", "overrides", at)
                yield source.problem(path, f"`{name}` would never decide: `{one.rule.id}` always sets it aside")


def _leaf_paths(when: When, path: Path) -> Iterator[Path]:
    if when.cel is not None:
        yield path
    elif when.not_ is not None:
        yield from _leaf_paths(when.not_, (*path, "not"))
    else:
        word = "any" if when.any is not None else "all"
        for at, part in enumerate(when.any or when.all or ()):
            yield from _leaf_paths(part, (*path, word, at))


def _what_it_sees(comparison: Call, ranges: Ranges, values: Values) -> str | None:
    names = [node.name for node in walk(comparison) if isinstance(node, Name)]
    said = [f"`{name}` is {ranges[name].shown}" for name in names if name in ranges]
    said += [f"`{name}` is {values[name]}" for name in names if name in values]
    return ", ".join(said) or None
