"""Lifting all sanctions: in the background, once at a time, in spite of a store that stumbles."""

from __future__ import annotations

import asyncio

import pytest

from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.operations.operator import lift_all
from fraiseql_guard.operations.operator.interface import NotAppliedError, NotFoundError, Origin, Target
from fraiseql_guard.stores import MemoryStore, StoreError
from tests.support.waiting import until

MANY = 2_000


async def sanction(store: MemoryStore, count: int) -> None:
    for number in range(count):
        name = f"10.0.{number // 256}.{number % 256}/32"
        await store.sanctions.impose(Sanction(Subject("address", name), PolicyName.DOS, 600 + number))


async def ended(operator, origin: Origin | None = Origin.AUTOMATIC):
    """How it ended."""
    found = await operator.lifting(origin=origin)

    async def over() -> bool:
        nonlocal found
        found = await operator.lifting(origin=origin)
        return found.state != "running"

    await until(over)
    return found


@pytest.fixture
def held_up(store: MemoryStore, monkeypatch) -> asyncio.Event:
    """Lifting waits for this."""
    go_on = asyncio.Event()
    lift_many = store.sanctions.lift_many

    async def wait(sanctioned):
        await go_on.wait()
        return await lift_many(sanctioned)

    monkeypatch.setattr(store.sanctions, "lift_many", wait)
    return go_on


async def test_what_takes_longer_goes_on_in_the_background(make_operator, store, audited, held_up) -> None:
    operator = make_operator()
    await sanction(store, MANY)
    begun = await operator.lift_all(actor="alice", wait_seconds=0)
    assert begun.details == {"running": True, "origin": "automatic"}
    found = await operator.lifting()
    assert (found.state, found.total, found.actor) == ("running", MANY, "alice")
    assert "it goes on" in found.message
    held_up.set()
    assert (await ended(operator)).lifted == MANY
    assert await store.sanctions.count() == 0
    assert [(name, fields["state"], fields["lifted"]) for name, fields in audited] == [
        ("admin.lift_all", "running", 0),
        ("admin.lift_all", "done", MANY),
    ]


async def test_a_second_request_joins_the_first_and_ends_with_it(make_operator, store, audited, held_up) -> None:
    first, second = make_operator(), make_operator()
    await sanction(store, 100)
    await first.lift_all(actor="alice", wait_seconds=0)
    waiting = asyncio.create_task(second.lift_all(actor="bob"))
    await asyncio.sleep(0.05)
    await store.sanctions.impose(Sanction(Subject("address", "192.0.2.1/32"), PolicyName.DOS, 5_000))
    held_up.set()
    done = await waiting
    assert (done.affected, done.details) == (101, {}), "what came into force before the second request ended as well"
    assert {fields["state"] for _, fields in audited if fields["actor"] == "bob"} == {"joined"}


async def test_a_store_that_stumbles_ends_nothing(make_operator, store, monkeypatch) -> None:
    monkeypatch.setattr(lift_all, "_RETRY_SECONDS", 0)
    await sanction(store, MANY)
    lift_many, calls = store.sanctions.lift_many, 0

    async def stumble(sanctioned):
        nonlocal calls
        calls += 1
        if calls in (2, 5, 6):
            raise StoreError("timeout", "no answer")
        return await lift_many(sanctioned)

    monkeypatch.setattr(store.sanctions, "lift_many", stumble)
    assert (await make_operator().lift_all()).affected > 0
    assert await store.sanctions.count() == 0


async def test_a_store_that_is_gone_stops_it_and_the_same_again_goes_on(make_operator, store, monkeypatch) -> None:
    monkeypatch.setattr(lift_all, "_RETRY_SECONDS", 0)
    operator = make_operator()
    await sanction(store, 200)
    lift_many = store.sanctions.lift_many

    async def fail(_sanctioned):
        raise StoreError("connection", "gone")

    monkeypatch.setattr(store.sanctions, "lift_many", fail)
    with pytest.raises(NotAppliedError, match=r"it stopped: the store does not answer \(connection\)\. The same again"):
        await operator.lift_all()
    assert (await operator.lifting()).state == "stopped"
    monkeypatch.setattr(store.sanctions, "lift_many", lift_many)
    assert (await operator.lift_all()).affected == 200


async def test_what_an_operator_blocked_stays_unless_it_is_meant(make_operator, store) -> None:
    operator = make_operator()
    await sanction(store, 3)
    await operator.block(Target(ip_address="203.0.113.0/24"))
    await operator.block(Target(user_id="mallory"))
    assert (await operator.lift_all()).affected == 3
    assert {each.origin for each in await operator.blocks()} == {Origin.OPERATOR}
    assert (await operator.lift_all(origin=None)).affected == 2
    assert await operator.blocks() == []
    again = await operator.lift_all(origin=None)
    assert (again.changed, again.affected) == (False, 0)


async def test_nothing_is_told_of_what_was_never_begun(make_operator) -> None:
    with pytest.raises(NotFoundError):
        await make_operator().lifting()


async def test_pages_hold_networks_and_sanctions_once(make_operator, store) -> None:
    operator = make_operator()
    await sanction(store, 25)
    for number in range(12):
        await operator.block(Target(ip_address=f"203.0.113.{number}"), duration_seconds=60 + number)
    for size in (1, 5, 12, 13, 37, 100):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await operator.blocks_page(size, cursor)
            assert page.total == 37
            assert len(page.items) <= size
            seen += [str(each.target.ip_address) for each in page.items]
            cursor = page.next_cursor
        assert len(seen) == len(set(seen)) == 37, size
