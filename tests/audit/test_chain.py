import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.chain import (
    FORMAT,
    GENESIS,
    ChainFault,
    ChainPoint,
    ChainReport,
    SealedEntry,
    canonical_event,
    check_head,
    event_of,
    link,
    link_all,
    verify,
)
from app.domain import AuditEvent

_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=8)))


def _event(number: int, **body: object) -> AuditEvent:
    return AuditEvent(
        id=f"evt_{number}",
        kind="decision.made",
        at=_AT,
        actor="key_1",
        subject=f"dec_{number}",
        body={"n": number, **body},
    )


def _chain(length: int) -> list[SealedEntry]:
    return link_all(GENESIS, [_event(number) for number in range(1, length + 1)])


def _fault(report: ChainReport) -> tuple[ChainFault, int]:
    assert report.problem is not None
    return report.problem.fault, report.problem.seq


_LENGTHS = st.integers(min_value=3, max_value=12)


@given(_LENGTHS, st.data())
def test_a_sound_chain_is_sound_in_any_batches(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    cut = data.draw(st.integers(0, length))

    first = verify(chain[:cut])
    second = verify(chain[cut:], start=first.point)

    assert first.sound
    assert second.sound
    assert first.checked + second.checked == length
    assert check_head(second, chain[-1].point).sound


@given(_LENGTHS, st.data())
def test_a_changed_byte_names_its_entry(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    at = data.draw(st.integers(0, length - 1))
    field = data.draw(st.sampled_from(["body", "prev", "hash"]))
    original: bytes = getattr(chain[at], field)
    position = data.draw(st.integers(0, len(original) - 1))
    flipped = bytearray(original)
    flipped[position] ^= data.draw(st.integers(1, 255))
    chain[at] = replace(chain[at], **{field: bytes(flipped)})

    assert _fault(verify(chain)) == (ChainFault.ALTERED, at + 1)


@given(_LENGTHS, st.data())
def test_a_removed_entry_is_missing(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    at = data.draw(st.integers(0, length - 2))
    del chain[at]

    assert _fault(verify(chain)) == (ChainFault.MISSING, at + 1)


@given(_LENGTHS, st.data())
def test_two_entries_that_changed_places_are_reordered(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    first, second = sorted(data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True)))
    chain[first], chain[second] = (
        replace(chain[second], seq=first + 1),
        replace(chain[first], seq=second + 1),
    )

    assert _fault(verify(chain)) == (ChainFault.REORDERED, first + 1)


def test_an_entry_that_stands_twice_is_reordered() -> None:
    chain = _chain(3)

    assert _fault(verify([*chain[:2], chain[1], chain[2]])) == (ChainFault.REORDERED, 2)


@given(_LENGTHS, st.data())
def test_an_entry_that_was_rewritten_with_a_fitting_hash_is_forged(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    at = data.draw(st.integers(0, length - 1))
    chain[at] = link(chain[at].prev, at + 1, _event(at + 1, outcome="pass"))

    report = check_head(verify(chain), _chain(length)[-1].point)

    assert _fault(report) == (ChainFault.FORGED, at + 1)


@given(_LENGTHS, st.data())
def test_a_chain_that_lost_its_end_is_truncated(length: int, data: st.DataObject) -> None:
    chain = _chain(length)
    left = data.draw(st.integers(0, length - 1))

    report = check_head(verify(chain[:left]), chain[-1].point)

    assert _fault(report) == (ChainFault.TRUNCATED, left + 1)


def test_entries_past_the_head_are_forged() -> None:
    chain = _chain(4)

    assert _fault(check_head(verify(chain), chain[1].point)) == (ChainFault.FORGED, 3)


def test_a_missing_head_is_a_problem() -> None:
    assert _fault(check_head(verify(_chain(2)), None)) == (ChainFault.FORGED, 2)


def test_a_chain_of_another_format_is_not_taken_for_one() -> None:
    body = b'{"seq":1}'
    entry = SealedEntry(1, GENESIS.hash, hashlib.sha256(GENESIS.hash + body).digest(), body)

    assert _fault(verify([entry])) == (ChainFault.FORGED, 1)


@pytest.mark.parametrize("body", [b"\xff", b"[" * 100_000, b"3", b'{"format":"portcullis.audit/1","seq":true}'])
def test_a_body_that_is_no_entry_is_named_not_raised(body: bytes) -> None:
    entry = SealedEntry(1, GENESIS.hash, hashlib.sha256(GENESIS.hash + body).digest(), body)

    assert _fault(verify([entry])) == (ChainFault.FORGED, 1)


def test_moving_bytes_between_prev_and_body_is_noticed() -> None:
    whole = _chain(1)[0]
    shifted = replace(whole, prev=whole.prev + whole.body[:1], body=whole.body[1:])

    assert _fault(verify([shifted])) == (ChainFault.ALTERED, 1)


def test_the_chain_goes_on_from_a_point() -> None:
    chain = _chain(5)

    assert verify(chain[3:], start=chain[2].point).sound
    assert not verify(chain[3:], start=ChainPoint(3, b"\0" * 32)).sound


def test_an_entry_is_what_the_document_says_it_is() -> None:
    entry = _chain(1)[0]
    document = json.loads(entry.body)

    assert entry.prev == hashlib.sha256(FORMAT.encode()).digest()
    assert entry.hash == hashlib.sha256(entry.prev + entry.body).digest()
    assert document["seq"] == 1
    assert document["event"]["at"] == "2026-01-01T19:04:05.678901Z"


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
            lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    ).filter(lambda body: "\ud800" not in repr(body)),
)
def test_what_was_sealed_can_be_read_again(body: dict[str, object]) -> None:
    event = _event(7).model_copy(update={"body": body})
    sealed = link(GENESIS.hash, 1, event)

    assert event_of(sealed) == event
    assert verify([sealed]).sound
    assert canonical_event(event_of(sealed)) == canonical_event(event)


@pytest.mark.parametrize("body", [{"n": 2**53}, {"n": float("nan")}, {"n": float("inf")}])
def test_what_canonical_json_cannot_hold_is_refused(body: dict[str, object]) -> None:
    event = _event(1).model_copy(update={"body": body})

    with pytest.raises(ValueError, match=r"."):
        canonical_event(event)


def test_a_time_without_a_zone_is_refused() -> None:
    event = _event(1).model_copy(update={"at": datetime(2026, 1, 1)})

    with pytest.raises(ValueError, match="zone"):
        canonical_event(event)


@pytest.mark.parametrize("body", [b"[]", b"\xff", b"[" * 100_000, b'{"format":"portcullis.audit/1"}'])
def test_other_bytes_hold_no_event(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        event_of(SealedEntry(1, GENESIS.hash, GENESIS.hash, body))
