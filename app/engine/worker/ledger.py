"""Who holds how many KV cells and sequences. Pure.

Every job that is let in can go on by itself: it is promised the cells of the largest question it has not asked yet and
a sequence to ask it in. So the sum of what is promised never exceeds what there is, and no two jobs can wait for each
other.
"""

from dataclasses import dataclass


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

    def open(self, prefix: int, promised: int) -> Account | None:
        """An account for a picture and its largest question; None while there is no room."""
        account = Account(prefix, promised)
        if account.cells > self.free_cells or account.sequences > self.free_sequences:
            return None
        self._accounts.append(account)
        return account

    def take(self, account: Account, cells: int, promised: int) -> bool:
        """Let the job ask a question of so many cells; `promised` is then the largest of those that still wait. False
        while there is no room, which never happens to a job with nothing running."""
        before = account.cells, account.sequences
        after = Account(account.prefix, promised, account.taken + cells, account.running + 1)
        if after.cells - before[0] > self.free_cells or after.sequences - before[1] > self.free_sequences:
            return False
        account.promised, account.taken, account.running = after.promised, after.taken, after.running
        return True

    def give(self, account: Account, cells: int) -> None:
        """One of its questions is done."""
        account.taken -= cells
        account.running -= 1

    def close(self, account: Account) -> None:
        self._accounts.remove(account)
