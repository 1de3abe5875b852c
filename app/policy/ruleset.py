"""A ruleset: one policy and the keyword lists beside it, checked, compiled and named by its digest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.domain import KeywordList, Needs
from app.errors import PolicyProblem
from app.policy.conditions import Compiler, Condition
from app.policy.schema import Policy, Rule


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Tree"


Tree = Condition | AnyOf | AllOf | Not


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """`leaves` are its conditions in the order they are written; `binding` are the binding lists that it names: while
    one of them has a match, nothing sets the rule aside."""

    rule: Rule
    tree: Tree
    leaves: tuple[Condition, ...]
    names: frozenset[str]
    binding: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """What `evaluate` runs: the live and shadow rules in file order. `thresholds` are by their names in conditions,
    of the types the compiler declared."""

    compiler: Compiler
    thresholds: Mapping[str, int | float]
    rules: tuple[CompiledRule, ...]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """`digest` (`sha256:…`) names policy and lists together, `policy_digest` the policy file's bytes alone. `source`
    is the YAML text. `needs` is what its live and shadow rules want to know of a picture. `warnings` are what is
    allowed but looks like a mistake, such as a list that no rule uses. `list_problems` are what is wrong with list
    files in whose place their last good version stands."""

    digest: str
    policy_digest: str
    policy: Policy
    source: str
    lists: tuple[KeywordList, ...]
    needs: Needs
    program: Program = field(repr=False, compare=False)
    warnings: tuple[PolicyProblem, ...] = ()
    list_problems: tuple[PolicyProblem, ...] = ()


def conditions(tree: Tree) -> Iterator[Condition]:
    """The conditions of a rule, in the order they are written."""
    match tree:
        case Condition():
            yield tree
        case Not(part=part):
            yield from conditions(part)
        case AnyOf(parts=parts) | AllOf(parts=parts):
            for part in parts:
                yield from conditions(part)
