"""Slots for uploads: together, from one address, and slow uploads."""

import asyncio

import pytest

from serving import admission
from serving.admission import Admission, Displaced, Full, Stopped, client_address


def test_slots_are_limited_together_and_for_an_address():
    slots = Admission(3, 2)
    first, _ = slots.enter("a"), slots.enter("a")
    with pytest.raises(Full, match="2 uploads from your address"):
        slots.enter("a")
    slots.enter("b")
    with pytest.raises(Full, match="3 uploads are in progress"):
        slots.enter("c")
    first.leave()
    first.leave()
    assert len(slots) == 2
    slots.enter("c")


def test_a_slow_upload_makes_way(monkeypatch):
    """And a fast one, and one that has arrived, do not."""
    monkeypatch.setattr(admission, "SLOW_AFTER", 0.0)

    async def never():
        await asyncio.sleep(60)

    async def run():
        slots = Admission(3, 3)
        slow, fast, _arrived = slots.enter("a"), slots.enter("b"), slots.enter("c")
        waits = [asyncio.ensure_future(slot.wait(never(), 60)) for slot in (slow, fast)]
        await asyncio.sleep(0.01)

        fast.count(1 << 20)
        slots.enter("d")
        with pytest.raises(Displaced, match="too slowly"):
            await waits[0]
        with pytest.raises(Full):
            slots.enter("e")
        waits[1].cancel()
        assert len(slots) == 3

    asyncio.run(run())


def test_a_stop_ends_what_arrives():
    async def run():
        slots = Admission(2, 2)
        waiting = asyncio.ensure_future(slots.enter().wait(asyncio.sleep(60), 60))
        slots.enter()
        await asyncio.sleep(0)
        slots.stop()
        with pytest.raises(Stopped):
            await waiting

    asyncio.run(run())


def test_an_upload_must_arrive_in_time():
    async def run():
        with pytest.raises(asyncio.TimeoutError):
            await Admission(1, 1).enter().wait(asyncio.sleep(60), 0.01)
        return await Admission(1, 1).enter().wait(asyncio.sleep(0, "here"), 10)

    assert asyncio.run(run()) == "here"


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8::1:2", 1), "2001:db8::/64"),
        (("2001:db8::ffff:2", 1), "2001:db8::/64"),
        (("::1", 1), "::/64"),
        (None, ""),
        (("a name", 1), "a name"),
    ],
)
def test_an_address_is_that_of_a_household(client, address):
    assert client_address({"type": "http", "client": client}) == address
