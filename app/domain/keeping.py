"""How long the pictures of decisions are kept, and which rule says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

#: A picture is put before its decision is recorded. Longer than any decision may take (60 s), with room for clocks
#: that differ between nodes.
IN_FLIGHT = timedelta(minutes=10)


class Settled(StrEnum):
    """What a decision came to in the end: passed without a person, passed by a person, rejected by either."""

    PASSED = "passed"
    REVIEWED = "reviewed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Keep:
    """`time` counts from when a decision was settled; None keeps a picture until somebody deletes it. `rule` is the
    field of the policy, or the setting, that says so."""

    time: timedelta | None
    rule: str


@dataclass(frozen=True, slots=True)
class Keeping:
    """`categories` have what is rejected for them; `rejected` is for those without a say of their own, and for what was
    rejected for none. `policy` is the digest of the policy that says all this."""

    passed: Keep
    reviewed: Keep
    rejected: Keep
    categories: Mapping[str, Keep] = field(default_factory=dict)
    policy: str | None = None

    def of(self, settled: Settled, category: str | None = None) -> Keep:
        if settled is Settled.REJECTED:
            return self.rejected if category is None else self.categories.get(category, self.rejected)
        return self.passed if settled is Settled.PASSED else self.reviewed

    def says_as(self, other: "Keeping") -> bool:
        """Whether both keep every picture equally long, whichever field of theirs says it."""
        names = (None, *self.categories, *other.categories)
        return all(self.of(one, name).time == other.of(one, name).time for one in Settled for name in names)

    def longest_with(self, others: Sequence["Keeping"]) -> "Keeping":
        """Keeps what this one or any of the others keeps, and nothing else."""
        every = (self, *others)

        def longest(settled: Settled, category: str | None = None) -> Keep:
            return max((one.of(settled, category) for one in every), key=_length)

        return Keeping(
            passed=longest(Settled.PASSED),
            reviewed=longest(Settled.REVIEWED),
            rejected=longest(Settled.REJECTED),
            categories={name: longest(Settled.REJECTED, name) for one in every for name in one.categories},
            policy=self.policy,
        )

    @property
    def shortest(self) -> timedelta | None:
        times = [one.time for one in (self.passed, self.reviewed, self.rejected, *self.categories.values())]
        return min((time for time in times if time is not None), default=None)


def _length(keep: Keep) -> timedelta:
    return timedelta.max if keep.time is None else keep.time


@dataclass(frozen=True, slots=True)
class ExpiredPicture:
    """A picture that nobody needs any more. `settled`, since when it is so and `rule` are of the decision that kept it
    longest."""

    sha256: str
    settled: Settled
    settled_at: datetime
    rule: str


#: Where a picture stands among all, which are in the order in which they were last seen: when that was, and its
#: SHA-256.
PicturePlace = tuple[datetime, str]
