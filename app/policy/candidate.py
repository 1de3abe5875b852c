"""What may become a ruleset: the bytes of a policy, the lists beside it, and where the rest of it is read from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain import KeywordList
from app.errors import PolicyProblem


@dataclass(frozen=True, slots=True)
class Candidate:
    """`file` and `rules_dir` are what problems call the policy and the directory of the lists. `folder` is where
    included files are read from; without it, the text brings them along. `list_problems` are what is wrong with lists
    that are therefore not among `lists`; those of `last_good` may stand in for them. `cases` is a file of policy tests,
    which need not be there. `kept` is for what was in force before."""

    data: bytes
    lists: tuple[KeywordList, ...]
    file: str = "policies.yaml"
    rules_dir: str = "rules"
    folder: Path | None = None
    list_problems: tuple[PolicyProblem, ...] = ()
    last_good: tuple[KeywordList, ...] = ()
    cases: Path | None = None
    kept: bool = False

    def without_terms(self) -> "Candidate":
        """All that checking looks at: of lists it takes what they are, not what they hold."""
        return replace(self, lists=_without_terms(self.lists), last_good=_without_terms(self.last_good))


def _without_terms(lists: Sequence[KeywordList]) -> tuple[KeywordList, ...]:
    return tuple(replace(one, terms=(), options=(), allow=()) for one in lists)
