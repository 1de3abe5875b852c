"""A ruleset on its way between processes: checked and compiled in one, made ready to decide in another.

Compiled conditions do not travel by themselves. Each rule goes as a piece of its own: whoever puts the ruleset together
again can do something else between them, and keep what it made of those that are the same as before.
"""

import pickle
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from app.domain import KeywordList, Needs
from app.errors import PolicyProblem
from app.policy.compile import read_sources
from app.policy.conditions import CheckedCondition, Compiler, Condition
from app.policy.ruleset import AllOf, AnyOf, CompiledRule, Not, Ruleset, Tree, program_steps
from app.policy.schema import Policy, Rule
from app.policy.surfaces import surface_steps
from app.policy.vocabulary import Vocabulary

_PROTOCOL = pickle.HIGHEST_PROTOCOL

#: A condition, or what joins several: `(class, parts)`.
_Piece: TypeAlias = "CheckedCondition | str | tuple[type[AnyOf | AllOf | Not], tuple[_Piece, ...]]"


#: The rule and the tree of its conditions, each by itself, so that a text which they share does not make the same rule
#: other bytes; and the binding lists that it names.
PackedRule: TypeAlias = tuple[bytes, bytes, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PackedRuleset:
    """`lists` are the names and digests of the lists that it is made with; they travel on their own. `rules` are bytes,
    and `rest` is: nobody is held up who only passes them on."""

    digest: str
    source: str
    lists: tuple[tuple[str, str], ...]
    rules: tuple["PackedRule", ...]
    rest: bytes


class Outline(Protocol):
    """What a policy says apart from its rules, which may be missing; a ruleset has it too."""

    @property
    def policy(self) -> Policy: ...

    @property
    def policy_digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Rest:
    policy_digest: str
    #: Without its rules.
    policy: Policy
    #: Without its lists.
    needs: Needs
    vocabulary: Vocabulary
    warnings: tuple[PolicyProblem, ...]
    list_problems: tuple[PolicyProblem, ...]


def pack(ruleset: Ruleset) -> PackedRuleset:
    rest = _Rest(
        ruleset.policy_digest,
        ruleset.policy.model_copy(update={"rules": ()}),
        replace(ruleset.needs, lists=()),
        Vocabulary(ruleset.program.compiler.kinds, ruleset.program.thresholds),
        ruleset.warnings,
        ruleset.list_problems,
    )
    return PackedRuleset(
        ruleset.digest,
        ruleset.source,
        tuple((one.name, one.digest) for one in ruleset.lists),
        tuple(_pack_rule(one) for one in ruleset.rules),
        pickle.dumps(rest, _PROTOCOL),
    )


def _pack_rule(one: CompiledRule) -> PackedRule:
    return pickle.dumps(one.rule, _PROTOCOL), pickle.dumps(_taken_apart(one.tree), _PROTOCOL), one.binding


def _taken_apart(tree: Tree) -> _Piece:
    match tree:
        case Condition():
            return tree.checked()
        case Not(part=part):
            return Not, (_taken_apart(part),)
        case _:
            return type(tree), tuple(_taken_apart(part) for part in tree.parts)


def outline(packed: PackedRuleset) -> Outline:
    """Only for what another process of this service has packed."""
    rest: _Rest = pickle.loads(packed.rest)  # noqa: S301 - our own process
    return rest


class Unpacker:
    """Puts rulesets together, one version of a policy after the other. A rule that travelled as the same bytes, under
    the same names for conditions, is the one that it was."""

    def __init__(self) -> None:
        #: Of the last one.
        self._before: tuple[Compiler, Mapping[PackedRule, CompiledRule]] | None = None

    def steps(self, packed: PackedRuleset, lists: Sequence[KeywordList]) -> Generator[None, None, Ruleset]:
        """The ruleset, a step for each condition, and for each rule of each surface. `lists` has at least those that it
        is made with. Only for what another process of this service has packed."""
        rest: _Rest = pickle.loads(packed.rest)  # noqa: S301 - our own process
        before, made_before = self._before or (None, {})
        compiler = Compiler(rest.vocabulary, before=before)
        known = made_before if before is not None and compiler.shares_names_with(before) else {}
        rules = {}
        for piece in packed.rules:
            yield
            rules[piece] = known.get(piece) or (yield from _unpack_rule(piece, compiler))
        self._before = compiler, rules
        return (yield from _put_together(packed, rest, [rules[piece] for piece in packed.rules], compiler, lists))


def _unpack_rule(piece: PackedRule, compiler: Compiler) -> Generator[None, None, CompiledRule]:
    packed_rule, packed_tree, binding = piece
    rule: Rule = pickle.loads(packed_rule)  # noqa: S301
    tree = yield from _joined(pickle.loads(packed_tree), compiler)  # noqa: S301
    return CompiledRule.of(rule, tree, binding)


def _joined(piece: _Piece, compiler: Compiler) -> Generator[None, None, Tree]:
    """A step for each condition: one rule may have as many as a policy may."""
    if isinstance(piece, CheckedCondition | str):
        yield
        return compiler.take_over(piece)
    join, pieces = piece
    parts: list[Tree] = []
    for part in pieces:
        made = yield from _joined(part, compiler)
        parts.append(made)
    if join is Not:
        return Not(parts[0])
    return AnyOf(tuple(parts)) if join is AnyOf else AllOf(tuple(parts))


def _put_together(
    packed: PackedRuleset,
    rest: _Rest,
    rules: Sequence[CompiledRule],
    compiler: Compiler,
    lists: Sequence[KeywordList],
) -> Generator[None, None, Ruleset]:
    by_digest = {(one.name, one.digest): one for one in lists}
    own = tuple(by_digest[name] for name in packed.lists)
    program = yield from program_steps(compiler, rest.vocabulary.thresholds, rules)
    surfaces = {}
    for name, surface in rest.policy.surfaces.items():
        surfaces[name] = yield from surface_steps(program, rules, name, surface)
    return Ruleset(
        digest=packed.digest,
        policy_digest=rest.policy_digest,
        policy=rest.policy.model_copy(update={"rules": tuple(one.rule for one in rules)}),
        source=packed.source,
        lists=own,
        needs=replace(rest.needs, lists=read_sources(rest.policy.defaults.signals, own)),
        program=program,
        surfaces=surfaces,
        rules=tuple(rules),
        warnings=rest.warnings,
        list_problems=rest.list_problems,
    )
