import asyncio

import pytest

from app.moderation.flights import Flights, Landed, landing


async def test_who_follows_hears_what_the_leader_found() -> None:
    flights: Flights[int] = Flights()
    with flights.leading(["k"]) as leader:
        flight = flights.under_way("k")
        assert flight is not None
        following = [asyncio.create_task(landing(flight, timeout_s=10)) for _ in range(3)]
        await asyncio.sleep(0)
        leader.land("k", 7, sound=True)
        leader.land("k", 8, sound=True)
        leader.land("somebody else's", 9, sound=True)
    assert await asyncio.gather(*following) == [Landed(7, sound=True)] * 3
    assert flights.under_way("k") is None


async def test_a_leader_that_is_cancelled_gives_up_and_the_next_may_lead() -> None:
    flights: Flights[int] = Flights()
    begun = asyncio.Event()

    async def lead() -> None:
        with flights.leading(["k"]):
            begun.set()
            await asyncio.Event().wait()

    leading = asyncio.create_task(lead())
    await begun.wait()
    flight = flights.under_way("k")
    assert flight is not None
    leading.cancel()
    assert await landing(flight, timeout_s=10) is None
    assert flights.under_way("k") is None


async def test_to_stop_waiting_leaves_the_flight_whole() -> None:
    flights: Flights[int] = Flights()
    with flights.leading(["k"]) as leader:
        flight = flights.under_way("k")
        assert flight is not None
        with pytest.raises(TimeoutError):
            await landing(flight, timeout_s=0)
        impatient = asyncio.create_task(landing(flight, timeout_s=10))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        leader.land("k", 1, sound=False)
        assert await landing(flight, timeout_s=0) == Landed(1, sound=False)


async def test_one_key_is_given_up_and_the_others_go_on() -> None:
    flights: Flights[int] = Flights()
    with flights.leading(["a", "b"]) as leader:
        leader.give_up("a")
        leader.give_up("a")
        assert (flights.under_way("a"), flights.under_way("b") is None) == (None, False)
        with flights.leading(["a"]):
            assert flights.under_way("a") is not None
            leader.land("a", 1, sound=True)
            assert flights.under_way("a") is not None, "the first leader spoke for the second"
