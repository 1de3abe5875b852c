"""What the next step reads: the answers that grow, with what they may say next, and the questions.

Questions about one picture that begin alike are read together as far as that goes, each token once: into a cell that
all their sequences hold. They need no step and no sequence of their own for it. Pure.
"""

from collections.abc import Container, Iterable, Sequence

from app.engine.worker.decode import Entry
from app.engine.worker.job import Asking
from app.engine.worker.pace import Pace


def next_entries(asked: Iterable[Asking], room: int) -> list[Entry]:
    """At most `room` tokens besides drafts, for which there must be room. Answers that grow go first: one token each,
    and somebody is waiting for the next; of the questions, the earlier one comes, the surer its place."""
    entries: list[Entry] = []
    #: What was read after what: one entry for all who come to the same place with the same token.
    following: dict[tuple[object, int], Entry] = {}
    for asking in sorted(asked, key=lambda asking: len(asking.pending) > 1):
        taken, last = 0, len(asking.pending) - 1
        for place, token in enumerate(asking.pending):
            entry = following.get((asking.come_to, token)) if asking.asks else None
            if entry is None:
                if len(entries) >= room:
                    break
                entry = Entry(token, asking.position + place, [], [])
                entries.append(entry)
            if asking.asks:
                following[asking.come_to, token] = entry
            entry.sequences.append(asking.sequence)
            # After each token of a word that is chosen or not, else after the last of all.
            if place == last or asking.reads_words:
                entry.wanted.append(asking.sequence)
            asking.come_to, taken = entry, taken + 1
        asking.read(taken)
        assert not (asking.draft and asking.pending)  # noqa: S101 - there is room for all that drafts
        entries += [
            Entry(token, asking.position + place, [asking.sequence], [asking.sequence])
            for place, token in enumerate(asking.draft)
        ]
    return entries


def batches(entries: Sequence[Entry], grown: Container[int], tile_tokens: int) -> list[list[Entry]]:
    """What goes through the model together: all of it, so that weights are read once, unless the batch is so large that
    attention is computed tile by tile (see `Model.tile_tokens`). A tile with the answers of many pictures in it, which
    are the sequences in `grown`, would compute all its tokens over the cells of all these pictures."""
    answers = [entry for entry in entries if entry.sequences[0] in grown]
    if not tile_tokens or len(entries) < tile_tokens or len(answers) in {0, len(entries)}:
        return [list(entries)]
    return [answers, [entry for entry in entries if entry.sequences[0] not in grown]]


def parts(batch: Sequence[Entry], grown: Container[int], pace: Pace) -> list[list[Entry]]:
    """The batch, or where nothing but answers grow in it and that is quicker, one for each of them."""
    if any(entry.sequences[0] not in grown for entry in batch):
        return [list(batch)]
    each: dict[int, list[Entry]] = {}
    for entry in batch:
        each.setdefault(entry.sequences[0], []).append(entry)
    return list(each.values()) if pace.parted([len(entries) for entries in each.values()]) else [list(batch)]
