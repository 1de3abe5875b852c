"""What is promised never exceeds what there is, and whoever was let in can go on."""

from hypothesis import given
from hypothesis import strategies as st

from app.engine.worker.ledger import NOTHING, Account, Kept, Ledger


class Holder:
    """A job that asks its questions, the largest first or last, and gives them back in any order. What it takes beyond
    what it was promised, it takes only while so much stays `kept`."""

    def __init__(self, account: Account, sizes: list[int], kept: Kept) -> None:
        self.account = account
        self.waiting = sizes
        self.kept = kept
        self.running: list[int] = []


@given(
    data=st.data(),
    cells=st.integers(10, 200),
    sequences=st.integers(2, 9),
    jobs=st.lists(
        st.tuples(st.integers(1, 60), st.lists(st.integers(1, 60), min_size=1, max_size=6), st.booleans()), max_size=8
    ),
    kept=st.builds(Kept, st.integers(0, 60), st.integers(0, 4)),
)
def test_it_never_promises_more_than_there_is_and_never_locks(
    data: st.DataObject, cells: int, sequences: int, jobs: list[tuple[int, list[int], bool]], kept: Kept
) -> None:
    ledger = Ledger(cells, sequences)
    holders: list[Holder] = []
    arriving = [(prefix, sizes, keeps) for prefix, sizes, keeps in jobs if prefix + max(sizes) <= cells]
    for _ in range(400):
        if not arriving and not holders:
            return
        if arriving and data.draw(st.booleans()):
            prefix, sizes, keeps = arriving[0]
            left = kept if keeps and holders else NOTHING
            account = ledger.open(prefix, max(sizes), kept=left)
            if account is not None:
                arriving.pop(0)
                holders.append(Holder(account, list(sizes), kept if keeps else NOTHING))
                assert ledger.free_cells >= left.cells
                assert ledger.free_sequences >= left.sequences
            else:
                assert holders, "alone it fits"
                leaving = [holder.account for holder in holders]
                assert ledger.fits(prefix, max(sizes), without=leaving), "once all have left"
                assert not ledger.fits(prefix, max(sizes), kept=left)
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
        rest, free = holder.waiting[1:], (ledger.free_cells, ledger.free_sequences)
        taken = ledger.take(holder.account, holder.waiting[0], max(rest, default=0), kept=holder.kept)
        assert taken or holder.running, "one with nothing running can always go on"
        assert ledger.free_cells >= min(free[0], holder.kept.cells)
        assert ledger.free_sequences >= min(free[1], holder.kept.sequences)
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
