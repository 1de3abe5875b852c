"""What is promised never exceeds what there is, and whoever was let in can go on."""

from hypothesis import given
from hypothesis import strategies as st

from app.engine.worker.ledger import Account, Ledger


class Holder:
    """A job that asks its questions, the largest first or last, and gives them back in any order."""

    def __init__(self, account: Account, sizes: list[int]) -> None:
        self.account = account
        self.waiting = sizes
        self.running: list[int] = []


@given(
    data=st.data(),
    cells=st.integers(10, 200),
    sequences=st.integers(2, 9),
    jobs=st.lists(st.tuples(st.integers(1, 60), st.lists(st.integers(1, 60), min_size=1, max_size=6)), max_size=8),
)
def test_it_never_promises_more_than_there_is_and_never_locks(
    data: st.DataObject, cells: int, sequences: int, jobs: list[tuple[int, list[int]]]
) -> None:
    ledger = Ledger(cells, sequences)
    holders: list[Holder] = []
    arriving = [(prefix, sizes) for prefix, sizes in jobs if prefix + max(sizes) <= cells]
    for _ in range(400):
        if not arriving and not holders:
            return
        if arriving and data.draw(st.booleans()):
            prefix, sizes = arriving[0]
            account = ledger.open(prefix, max(sizes))
            if account is not None:
                arriving.pop(0)
                holders.append(Holder(account, list(sizes)))
            else:
                assert holders, "alone it fits"
        for holder in list(holders):
            step(data, ledger, holder)
            if not holder.waiting and not holder.running:
                ledger.close(holder.account)
                holders.remove(holder)
        assert ledger.free_cells >= 0
        assert ledger.free_sequences >= 0
        held = sum(holder.account.prefix + sum(holder.running) for holder in holders)
        assert held <= cells
        assert sum(1 + len(holder.running) for holder in holders) <= sequences
    raise AssertionError("it locked")


def step(data: st.DataObject, ledger: Ledger, holder: Holder) -> None:
    if holder.waiting:
        rest = holder.waiting[1:]
        taken = ledger.take(holder.account, holder.waiting[0], max(rest, default=0))
        assert taken or holder.running, "one with nothing running can always go on"
        if taken:
            holder.running.append(holder.waiting[0])
            holder.waiting = rest
    if holder.running and data.draw(st.booleans()):
        ledger.give(holder.account, holder.running.pop(data.draw(st.integers(0, len(holder.running) - 1))))


def test_an_account_that_is_closed_leaves_everything() -> None:
    ledger = Ledger(100, 5)
    account = ledger.open(40, 20)
    assert account is not None
    assert ledger.take(account, 20, 30)
    assert ledger.open(30, 1) is None

    ledger.close(account)

    assert (ledger.free_cells, ledger.free_sequences) == (100, 5)
