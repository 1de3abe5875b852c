"""Who holds how many KV cells and sequences. Pure.

Every job that is let in can go on by itself: it is promised the cells of the largest question it has not asked yet and
a sequence to ask it in. So the sum of what is promised never exceeds what there is, and no two jobs can wait for each
other.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """What must be left free after a step: kept for those that may use it."""

    cells: int = 0
    sequences: int = 0


NOTHING = Kept()


@dataclass(slots=True, eq=False)
class Account:
    """What one job holds. `prefix` and `promised` and `taken` are cells: of its picture, of its largest question that
    waits, of its questions that are asked; `running` counts those."""

    prefix: int
    promised: int
    taken: int = 0
    running: int = 0

    @property
    def cells(self) -> int:
        return self.prefix + max(self.promised, self.taken)

    @property
    def sequences(self) -> int:
        return 1 + max(1, self.running)


class Ledger:
    def __init__(self, cells: int, sequences: int) -> None:
        self._cells = cells
        self._sequences = sequences
        self._accounts: list[Account] = []

    @property
    def free_cells(self) -> int:
        return self._cells - sum(account.cells for account in self._accounts)

    @property
    def free_sequences(self) -> int:
        return self._sequences - sum(account.sequences for account in self._accounts)

    def fits(self, prefix: int, promised: int, *, kept: Kept = NOTHING, without: Collection[Account] = ()) -> bool:
        """Whether a picture and its largest question do, if these accounts were closed."""
        account = Account(prefix, promised)
        given_cells = sum(other.cells for other in without)
        given_sequences = sum(other.sequences for other in without)
        return (
            account.cells + kept.cells <= self.free_cells + given_cells
            and account.sequences + kept.sequences <= self.free_sequences + given_sequences
        )

    def open(self, prefix: int, promised: int, *, kept: Kept = NOTHING) -> Account | None:
        """An account for a picture and its largest question; None while there is no room."""
        if not self.fits(prefix, promised, kept=kept):
            return None
        account = Account(prefix, promised)
        self._accounts.append(account)
        return account

    def take(self, account: Account, cells: int, promised: int, *, kept: Kept = NOTHING) -> bool:
        """Let the job ask a question of so many cells; `promised` is then the largest of those that still wait. False
        while there is no room, which never happens to a job with nothing running."""
        after = Account(account.prefix, promised, account.taken + cells, account.running + 1)
        more_cells, more_sequences = after.cells - account.cells, after.sequences - account.sequences
        if more_cells > 0 and more_cells + kept.cells > self.free_cells:
            return False
        if more_sequences > 0 and more_sequences + kept.sequences > self.free_sequences:
            return False
        account.promised, account.taken, account.running = after.promised, after.taken, after.running
        return True

    def give(self, account: Account, cells: int) -> None:
        """One of its questions is done."""
        account.taken -= cells
        account.running -= 1

    def close(self, account: Account) -> None:
        self._accounts.remove(account)
