"""From a candidate to a ruleset that can decide, beside uploads that shall not feel it.

All that takes long or can be refused is done in a process of its own (`app.policy.checking`). What is left to do here
is to put together what came back, in small pieces, and only what is not the same as in the version before.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from app.errors import PolicyInvalid, PolicyProblem, WorkerCrashed, WorkerTimeout
from app.policy.breath import piecemeal
from app.policy.candidate import Candidate
from app.policy.checking import Checked, check
from app.policy.ruleset import Ruleset
from app.policy.travel import Outline, Unpacker, outline
from app.workers import Workers

#: The largest policy that is allowed takes some seconds of processor time.
CHECK_TIMEOUT_S = 60.0
_ATTEMPTS = 2
#: Who had less of that time than this had to wait for others: it says nothing of the policy.
_OWN_SHARE = 0.9


#: Is entered while a ruleset is put together: `app.policy.lasting` in a process that serves.
Making: TypeAlias = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Built:
    """`failing_cases` are what the policy tests say against the ruleset."""

    ruleset: Ruleset
    failing_cases: tuple[PolicyProblem, ...] = ()


class Builder:
    """Builds one version of a policy after the other. Every method raises PolicyInvalid with all that is wrong, and
    WorkerCrashed or WorkerTimeout when it could not be found out."""

    def __init__(self, workers: Workers, *, timeout_s: float = CHECK_TIMEOUT_S, making: Making = nullcontext) -> None:
        self._workers = workers
        self._making = making
        self._timeout_s = timeout_s
        self._unpacker = Unpacker()
        self._turn = asyncio.Lock()

    async def build(self, candidate: Candidate) -> Built:
        checked = await self._checked(candidate)
        async with self._turn:
            with self._making():
                steps = self._unpacker.steps(checked.packed, (*candidate.last_good, *candidate.lists))
                ruleset = await piecemeal(steps)
        return Built(ruleset, checked.failing_cases)

    async def check(self, candidate: Candidate) -> Outline:
        """For who wants to know what is wrong, and what it says apart from its rules."""
        return outline((await self._checked(candidate)).packed)

    async def _checked(self, candidate: Candidate) -> Checked:
        """A process that dies is given one more chance: it may have been somebody else's fault. What was in force
        before is sound, and only slow to check at the moment."""
        light = candidate.without_terms()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._workers.run(check, light, timeout_s=self._timeout_s)
            except WorkerTimeout as timeout:
                if timeout.ran_s < _OWN_SHARE * self._timeout_s:
                    raise WorkerTimeout("other policies are being checked: try again later") from timeout
                message = f"checking this policy takes longer than {self._timeout_s:.0f} s"
                if candidate.kept:
                    raise WorkerTimeout(message, ran_s=timeout.ran_s) from timeout
                raise PolicyInvalid((PolicyProblem(candidate.file, 1, 1, message),)) from timeout
            except WorkerCrashed as crash:
                if attempt == _ATTEMPTS:
                    raise WorkerCrashed(f"the policy could not be checked: {crash.detail}") from crash
        raise AssertionError("unreachable")
