import pytest

from app.errors import QueueFull
from app.moderation.admission import Admission, AdmissionLimits

LIMITS = AdmissionLimits(uploads=2, upload_bytes=100, engine_jobs=3)


def test_room_is_given_back_when_the_work_ends() -> None:
    admission = Admission(LIMITS)
    for _ in range(10):
        with admission.admit(80):
            pass


def test_room_is_given_back_when_the_work_fails() -> None:
    admission = Admission(LIMITS)
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), admission.admit(80):
            raise ZeroDivisionError


def test_one_upload_too_many_is_refused_with_a_time_to_come_back() -> None:
    admission = Admission(LIMITS)
    with admission.admit(1), admission.admit(1):
        with pytest.raises(QueueFull) as refusal, admission.admit(1):
            pytest.fail("admitted a third upload where two fit")
        assert refusal.value.retry_after_s >= 1


def test_bytes_are_bounded_but_a_lone_upload_always_fits() -> None:
    admission = Admission(LIMITS)
    with (
        admission.admit(1000),
        pytest.raises(QueueFull),
        admission.admit(1),
    ):
        pytest.fail("admitted more bytes than are allowed")


def test_a_full_engine_queue_refuses_before_acceptance() -> None:
    admission = Admission(LIMITS)
    with admission.admit(1) as place:
        place.ask(engine_queue_depth=2)
    with admission.admit(1) as place, pytest.raises(QueueFull):
        place.ask(engine_queue_depth=3)


def test_what_needs_nobody_is_not_refused_for_what_waits() -> None:
    admission = Admission(LIMITS)
    with admission.admit(60) as one, admission.admit(40) as other:
        one.ask(engine_queue_depth=0)
        other.ask(engine_queue_depth=0)
        with admission.admit(60) as known, admission.admit(40), pytest.raises(QueueFull):
            known.ask(engine_queue_depth=0)


def test_room_is_given_back_by_those_who_asked_too() -> None:
    admission = Admission(LIMITS)
    for _ in range(10):
        with admission.admit(80) as place:
            place.ask(engine_queue_depth=0)
        with pytest.raises(QueueFull), admission.admit(80) as place:
            place.ask(engine_queue_depth=3)
