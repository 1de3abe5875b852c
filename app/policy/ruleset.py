"""A ruleset: one policy and the keyword lists beside it, checked, compiled and named by its digest."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter
from typing import Any, TypeAlias

from app.domain import KeywordList, Mode, Needs, Truth
from app.errors import PolicyProblem
from app.policy import truth
from app.policy.conditions import Compiler, Condition
from app.policy.facts import FactGatherer
from app.policy.probe_scores import ProbeScorer
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


_PAIR = 2

Tree = Condition | AnyOf | AllOf | Not

#: From the results of a rule's conditions, in the order they are written, to what the rule comes to.
Fold: TypeAlias = Callable[[Sequence[Truth]], Truth]

#: From something of each condition of a program to those of one rule, in the order they are written.
Picker: TypeAlias = Callable[[Sequence[Any]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """`leaves` are its conditions in the order they are written; `binding` are the binding lists that it names: while
    one of them has a match, nothing sets the rule aside. `surface` is the one that has the rule otherwise than the
    policy itself: in its mode, in its outcome, or in a threshold that it names."""

    rule: Rule
    tree: Tree
    leaves: tuple[Condition, ...]
    names: frozenset[str]
    binding: tuple[str, ...] = ()
    surface: str | None = None
    id: str = field(init=False, repr=False, compare=False)
    mode: Mode = field(init=False, repr=False, compare=False)
    fold: Fold = field(init=False, repr=False, compare=False)
    live: bool = field(init=False, repr=False, compare=False)
    allows: bool = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, rule: Rule, tree: Tree, binding: tuple[str, ...]) -> "CompiledRule":
        leaves = tuple(conditions(tree))
        return cls(rule, tree, leaves, frozenset(name for leaf in leaves for name in leaf.names), binding)

    def __post_init__(self) -> None:
        """What every upload would have to find out anew."""
        object.__setattr__(self, "id", self.rule.id)
        object.__setattr__(self, "mode", self.rule.mode)
        object.__setattr__(self, "fold", folding(self.tree))
        object.__setattr__(self, "live", self.rule.mode is Mode.LIVE)
        object.__setattr__(self, "allows", bool(self.rule.overrides))


@dataclass(frozen=True, slots=True)
class Program:
    """What `evaluate` runs: the live and shadow rules in file order. `thresholds` are by their names in conditions,
    of the types the compiler declared. `own_thresholds` are those whose values are the `surface`'s. `leaves` are the
    conditions of all rules, each once, and `pickers` give for each rule its own of what came of them."""

    compiler: Compiler
    thresholds: Mapping[str, int | float]
    rules: tuple[CompiledRule, ...]
    leaves: tuple[Condition, ...] = field(repr=False, compare=False)
    pickers: tuple[Picker, ...] = field(repr=False, compare=False)
    surface: str | None = None
    own_thresholds: frozenset[str] = frozenset()

    def place(self, threshold: str) -> str:
        """Where the policy gives the value of `thresholds.<name>`: there, or within the surface."""
        return f"surfaces.{self.surface}.{threshold}" if threshold in self.own_thresholds else threshold

    def thresholds_with(self, moved: Mapping[str, int | float]) -> Mapping[str, int | float]:
        """The thresholds, with those that `moved` gives by their places."""
        return {name: moved.get(self.place(name), value) for name, value in self.thresholds.items()}


def program_steps(
    compiler: Compiler,
    thresholds: Mapping[str, int | float],
    rules: Iterable[CompiledRule],
    *,
    surface: str | None = None,
    own_thresholds: frozenset[str] = frozenset(),
) -> Generator[None, None, Program]:
    """A program, a step for each rule."""
    places: dict[str, int] = {}
    leaves: list[Condition] = []
    pickers, deciding = [], []
    for one in rules:
        yield
        if one.mode is Mode.DRAFT:
            continue
        own = []
        for leaf in one.leaves:
            place = places.setdefault(leaf.text, len(leaves))
            if place == len(leaves):
                leaves.append(leaf)
            own.append(place)
        deciding.append(one)
        pickers.append(_picker(own))
    return Program(compiler, thresholds, tuple(deciding), tuple(leaves), tuple(pickers), surface, own_thresholds)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """`digest` (`sha256:…`) names policy and lists together, `policy_digest` the policy's text alone, which is
    `source`: YAML, with all that it includes. `needs` is what its live and shadow rules want to know of a picture.
    `warnings` are what is allowed but looks like a mistake, such as a list that no rule uses. `list_problems` are what
    is wrong with list files in whose place their last good version stands. `program` is for every upload whose surface
    is not among `surfaces`: ask `program_for`. `rules` are all of the policy, drafts too, as every surface without a
    say of its own has them. `scorer` and `gatherer` look at the findings of uploads, for what `needs` names."""

    digest: str
    policy_digest: str
    policy: Policy
    source: str
    lists: tuple[KeywordList, ...]
    needs: Needs
    program: Program = field(repr=False, compare=False)
    surfaces: Mapping[str, Program] = field(default_factory=dict, repr=False, compare=False)
    rules: tuple[CompiledRule, ...] = field(default=(), repr=False, compare=False)
    warnings: tuple[PolicyProblem, ...] = ()
    list_problems: tuple[PolicyProblem, ...] = ()
    scorer: ProbeScorer = field(init=False, repr=False, compare=False)
    gatherer: FactGatherer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        probes, defaults = self.policy.probes, self.policy.defaults
        asked = {name: probes[name] for name in dict.fromkeys(question.probe for question in self.needs.probes)}
        scorer = ProbeScorer(asked, languages=defaults.ask, min_mass=defaults.min_mass)
        object.__setattr__(self, "scorer", scorer)
        object.__setattr__(self, "gatherer", FactGatherer(self.needs))

    def program_for(self, surface: object) -> Program:
        """What decides for an upload with this `context.surface`."""
        return self.surfaces.get(surface, self.program) if isinstance(surface, str) else self.program

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.program, *self.surfaces.values())


def _picker(places: Sequence[int]) -> Picker:
    if len(places) == 1:
        (only,) = places
        return lambda of_all: (of_all[only],)
    return itemgetter(*places)


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


def folding(tree: Tree) -> Fold:
    """What a tree makes of the results of its conditions, ready to be called once an upload."""
    return _folding(tree, count())


def _folding(tree: Tree, places: Iterator[int]) -> Fold:
    match tree:
        case AnyOf(parts=parts):
            return _joining([_folding(part, places) for part in parts], truth.any_of)
        case AllOf(parts=parts):
            return _joining([_folding(part, places) for part in parts], truth.all_of)
        case Not(part=part):
            inner = _folding(part, places)
            return lambda results: truth.negate(inner(results))
        case _:
            return itemgetter(next(places))


def _joining(parts: Sequence[Fold], join: Callable[[Sequence[Truth]], Truth]) -> Fold:
    if len(parts) == _PAIR:  # half of the time of the loop below
        first, second = parts
        return lambda results: join((first(results), second(results)))
    return lambda results: join([part(results) for part in parts])
