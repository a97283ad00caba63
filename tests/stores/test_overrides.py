"""Overrides: what is put into one process's store is known to all, until it expires or is deleted."""

import asyncio

import pytest

from fraiseql_guard.stores import MemoryStore, StoreError
from fraiseql_guard.stores.overrides import MemoryOverrides, Override, OverrideKind, Overrides
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.testing import ManualClock
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

BLOCK, ALLOW = OverrideKind.BLOCK, OverrideKind.ALLOW


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request):
    if request.param == "memory":
        yield MemoryStore()
        return
    with RedisServer() as server:
        made = RedisStore(server.url, timeout_seconds=5)
        yield made
        await made.aclose()


def keys(control: Overrides | None) -> set[tuple[str, str]]:
    assert control is not None
    return {(entry.kind.value, entry.key) for entry in control.entries}


async def test_what_is_told_is_read_and_can_be_taken_back(store) -> None:
    assert await store.overrides.read(0) is None
    await store.overrides.put(Override(BLOCK, "203.0.113.0/24", 60, reason='a "reason"\n', actor="alice"))
    await store.overrides.put(Override(ALLOW, "198.51.100.7/32", 60))
    control = await store.overrides.read(0)
    assert keys(control) == {("block", "203.0.113.0/24"), ("allow", "198.51.100.7/32")}
    (block,) = control.of(BLOCK)
    assert (block.reason, block.actor) == ('a "reason"\n', "alice")
    assert 55 < block.expires_in_seconds <= 60
    assert await store.overrides.read(control.version) is None
    assert await store.overrides.delete(BLOCK, "203.0.113.0/24") is True
    assert await store.overrides.delete(BLOCK, "203.0.113.0/24") is False
    later = await store.overrides.read(control.version)
    assert keys(later) == {("allow", "198.51.100.7/32")}
    assert later.version > control.version


async def test_telling_again_replaces(store) -> None:
    await store.overrides.put(Override(BLOCK, "203.0.113.7/32", 60, reason="first"))
    await store.overrides.put(Override(BLOCK, "203.0.113.7/32", 600, reason="second"))
    control = await store.overrides.read(0)
    (entry,) = control.entries
    assert (entry.reason, entry.expires_in_seconds > 500) == ("second", True)


async def test_an_entry_ends_by_itself(store) -> None:
    await store.overrides.put(Override(BLOCK, "203.0.113.7/32", 0.2))
    await store.overrides.put(Override(ALLOW, "203.0.113.8/32", 60))
    await asyncio.sleep(0.3)
    assert keys(await store.overrides.read(0)) == {("allow", "203.0.113.8/32")}


async def test_many_entries_are_no_trouble(store) -> None:
    for number in range(300):
        await store.overrides.put(Override(BLOCK, f"10.0.{number % 256}.{number // 256}/32", 60))
    assert len(keys(await store.overrides.read(0))) == 300


@pytest.mark.redis
async def test_a_lost_set_is_noticed_and_its_version_never_comes_again() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, timeout_seconds=5)
        await store.overrides.put(Override(BLOCK, "203.0.113.7/32", 60))
        control = await store.overrides.read(0)
        server.kill()
        server.restart()
        for _ in range(1_000):
            try:
                lost = await store.overrides.read(control.version)
                break
            except StoreError:
                await asyncio.sleep(0.05)
        assert (lost.version, lost.entries) == (0, ())
        await store.overrides.put(Override(BLOCK, "203.0.113.8/32", 60))
        assert keys(await store.overrides.read(control.version)) == {("block", "203.0.113.8/32")}
        await store.aclose()


class Flaky(MemoryOverrides):
    """Overrides of a store that can be switched off."""

    off = False

    async def read(self, known_version: int):
        if self.off:
            raise StoreError("timeout", "off")
        return await super().read(known_version)


async def test_a_process_keeps_the_last_set_while_the_store_is_away_and_lets_it_expire() -> None:
    clock = ManualClock(1000)
    flaky = Flaky(clock)
    seen: list[set] = []
    watch = OverridesWatch(flaky, on_change=lambda control: seen.append(keys(control)), clock=clock)
    await flaky.put(Override(BLOCK, "203.0.113.7/32", 10))
    await flaky.put(Override(BLOCK, "203.0.113.8/32", 100))
    await watch.refresh()
    flaky.off = True
    clock.advance(5)
    await watch.refresh()
    assert seen == [{("block", "203.0.113.7/32"), ("block", "203.0.113.8/32")}]
    clock.advance(6)
    await watch.refresh()
    assert seen[-1] == {("block", "203.0.113.8/32")}


async def test_polling_sees_a_change_within_a_second_and_ends() -> None:
    store = MemoryStore()
    seen: list[Overrides] = []
    watch = OverridesWatch(store.overrides, on_change=seen.append, poll_seconds=0.05)
    watch.ensure_polling()
    watch.ensure_polling()
    await store.overrides.put(Override(BLOCK, "203.0.113.7/32", 10))
    await until(lambda: seen and seen[-1].of(BLOCK))
    await watch.aclose()
    count = len(seen)
    await store.overrides.put(Override(BLOCK, "203.0.113.8/32", 10))
    await asyncio.sleep(0.2)
    assert len(seen) == count
