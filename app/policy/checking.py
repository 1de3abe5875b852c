"""Checking policies, in a process that does nothing else: see `app.policy.building` for its other end.

Here a policy may take its time, and a hostile one may run away: the process is killed.
"""

import gc
import os
from dataclasses import dataclass

from app.errors import PolicyProblem
from app.policy.candidate import Candidate
from app.policy.cases import run_cases
from app.policy.conditions import Compiler
from app.policy.load import build_candidate, build_ruleset
from app.policy.travel import PackedRuleset, pack

#: While uploads want all of the processor, checking gets about a tenth of a core.
_NICENESS = 10

#: Objects more than at the last look, of which a policy of 500 rules makes some 80,000 and hardly a cycle: they go when
#: it is checked. A look at them takes as long as reading the policy does.
_COLLECT_EVERY = 300_000

_SMALL = """
version: 1
categories: {any: {title: {en: Any}, severity: low}}
rules: [{id: r, category: any, when: image.width > 1, then: review, reason: {en: Any}}]
"""

#: Of the last policy that was sound: mostly the next one is the same but for a few conditions.
_before: list[Compiler] = []


@dataclass(frozen=True, slots=True)
class Checked:
    """`failing_cases` are what the policy tests say against it, or what is wrong with them."""

    packed: PackedRuleset
    failing_cases: tuple[PolicyProblem, ...] = ()


def get_ready() -> None:
    """Once in each process: loads what checking needs, and makes way for uploads."""
    os.nice(_NICENESS)
    build_ruleset(_SMALL.encode(), ())
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def check(candidate: Candidate) -> Checked:
    """Raises PolicyInvalid with all that is wrong."""
    ruleset = build_candidate(candidate, before=_before[0] if _before else None)
    _before[:] = [ruleset.program.compiler]
    failing = run_cases(ruleset, candidate.cases).failures if candidate.cases else ()
    return Checked(pack(ruleset), failing)
