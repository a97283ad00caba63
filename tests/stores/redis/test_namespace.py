"""Namespaces: apps and environments on one Redis share nothing, and a Redis user may be bound to its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.stores import AdmitRequest, StoreError, network_bucket
from fraiseql_guard.stores.documents import Adding, TrustedDocument
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import ask
from tests.support.redis_server import RedisServer
from tools.docs import ROOT

pytestmark = pytest.mark.redis

ALICE = Subject("user", "alice")
CHARGE = Charge("default", Limit(10, 3600))
ME = TrustedDocument("me", "{me{id}}", "Me", "query")
FAILED = Escalation(PolicyName.BRUTE_FORCE, offences=2, window_seconds=60, sanction_seconds=60)


def network(number: int) -> Subject:
    return Subject("address", f"2001:db8:0:{number:x}::/64", "2001:db8::/48", (("2001:db8::/48", 16),))


async def use_everything(store: RedisStore) -> None:
    """Do all that a store can, so that it asks Redis all that it ever does."""
    wide = Charge("default", Limit(1000, 3600), bucket=network_bucket("default", "2001:db8::/48"))
    for number in range(9):
        for _ in range(2):
            await store.admit(AdmitRequest(network(number), (CHARGE, wide), abuse=FAILED, offence=FAILED))
    for _ in range(12):
        await store.admit(AdmitRequest(ALICE, (CHARGE,), abuse=FAILED, exempt=frozenset(PolicyName), refused_before=2))
    await store.admit(AdmitRequest(ALICE, (Charge("default", Limit(10, 3600), tokens=-10),)))
    await store.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60, "because"))
    assert await store.sanctions.all()
    await store.limits.set(ALICE, Rate.of(5, 60), 2, 60, actor="bob")
    assert await store.limits.all()
    assert await store.limits.clear(ALICE)
    await store.sanctions.lift(ALICE)
    assert await store.sanctions.count() == len([each async for batch in store.sanctions.batches() for each in batch])
    assert (await store.sanctions.page(1)).cursor
    assert await store.sanctions.of(ALICE) == []
    assert (await store.lift_jobs.begin("automatic", "id", actor="bob", worker="w", total=1)).granted
    assert (await store.lift_jobs.advance("automatic", "id", seen=1, lifted=1)).granted
    assert (await store.lift_jobs.finish("automatic", "id", state="done")).granted
    assert (await store.lift_jobs.read("automatic")) is not None
    await store.sanctions.lift(network(1))
    await store.sanctions.pardon(network(2), PolicyName.BRUTE_FORCE)
    await store.overrides.put(Override(OverrideKind.BLOCK, "192.0.2.1", 60, "because", "bob"))
    assert (await store.overrides.read(0)) is not None
    assert (await store.overrides.look(0, -1_000_000)).sanctioned
    assert await store.overrides.delete(OverrideKind.BLOCK, "192.0.2.1")
    assert await store.documents.add([ME]) == Adding(1)
    assert (await store.documents.index(0)) is not None
    assert await store.documents.texts(["me"]) == [ME.text]
    assert await store.documents.remove(["me"]) == 1
    await store.fleet.beat("worker", b"well", 60)
    assert len(await store.fleet.beats()) == 1
    await store.fleet.beat("worker", b"well", 0)
    await store.fleet.remember([b"refused"])
    await store.fleet.record_action(b"done")
    assert (await store.fleet.recent(1), await store.fleet.actions(1)) == ([b"refused"], [b"done"])
    await store.ping()
    assert await store.check() == []


async def keys(store: RedisStore) -> set[str]:
    found = await ask(store, "KEYS", "*")
    assert isinstance(found, list)
    return {key.decode() for key in found}


@pytest.fixture
async def two(redis_store: RedisStore, redis_session: RedisServer) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Stores of two namespaces, one of which begins as the other does, on one empty Redis."""
    async with AsyncExitStack() as stack:
        made = [RedisStore(redis_session.url, timeout_seconds=5, namespace=name) for name in ("shop", "shop-test")]
        for store in made:
            await stack.enter_async_context(aclosing(store))
        yield made[0], made[1]


async def test_every_key_begins_with_the_namespace(redis_store: RedisStore, two) -> None:
    await use_everything(two[0])
    assert {key.partition(":")[0] for key in await keys(two[0])} == {"shop"}
    await use_everything(redis_store)
    assert {key.partition(":")[0] for key in await keys(two[0])} == {"shop", "fg"}


async def test_nothing_is_shared(two) -> None:
    ours, theirs = two
    request = AdmitRequest(ALICE, (Charge("default", Limit(10, 3600), tokens=7),))
    assert (await ours.admit(request)).admitted
    assert (await theirs.admit(request)).admitted  # the very same request
    assert not (await ours.admit(request)).admitted
    await ours.sanctions.impose(Sanction(ALICE, PolicyName.OPERATOR, 60))
    await ours.limits.set(ALICE, Rate.of(1, 60), 0, 60)
    await ours.overrides.put(Override(OverrideKind.ALLOW, "192.0.2.1", 60))
    await ours.documents.add([ME])
    await ours.fleet.beat("worker", b"well", 60)
    await ours.fleet.remember([b"refused"])
    await ours.fleet.record_action(b"done")
    assert (await theirs.admit(AdmitRequest(ALICE, (CHARGE,)))).admitted
    assert (list(await theirs.sanctions.all()), list(await theirs.limits.all())) == ([], [])
    assert (await theirs.overrides.read(0), await theirs.documents.index(0), list(await theirs.fleet.beats())) == (
        None,
        None,
        [],
    )
    assert (list(await theirs.fleet.recent(9)), list(await theirs.fleet.actions(9))) == ([], [])


# --- a user of its own -----------------------------------------------------------------------------------------------


def documented() -> list[str]:
    """The command of the documentation that makes a user."""
    text = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^redis-cli (ACL SETUSER .*)$", text, re.MULTILINE)
    return shlex.split(command)


@pytest.fixture(scope="module")
def guarded_redis() -> Iterator[RedisServer]:
    """A Redis with the documented user, whose scripts only that user has brought."""
    with RedisServer() as server:
        assert server.ask(*documented()) == b"+OK\r\n"
        yield server


def as_user(server: RedisServer, namespace: str, database: int = 0) -> RedisStore:
    place = server.url.removeprefix("redis://").removesuffix("/0")
    return RedisStore(f"redis://guard:PASSWORD@{place}/{database}", timeout_seconds=5, namespace=namespace)


@pytest.mark.parametrize("database", [0, 3])
async def test_the_documented_user_can_do_everything(guarded_redis: RedisServer, database: int) -> None:
    async with aclosing(as_user(guarded_redis, "fg-prod", database)) as store:
        await use_everything(store)
        guarded_redis.ask("SCRIPT", "FLUSH")
        await use_everything(store)


async def test_the_documented_user_can_do_nothing_elsewhere(guarded_redis: RedisServer) -> None:
    async with aclosing(as_user(guarded_redis, "fg-test")) as store:
        with pytest.raises(StoreError, match=r"NOPERM"):
            await store.admit(AdmitRequest(ALICE, (CHARGE,)))
        assert "cannot be used" in (await store.check())[0]
    async with aclosing(as_user(guarded_redis, "fg-prod")) as store:
        for command in (
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("GET", "fg-test:a"),
            ("PUBLISH", "a", "b"),
        ):
            with pytest.raises(StoreError):
                await ask(store, *command)


@pytest.mark.parametrize("command", ["ROLE", "CLUSTER SLOTS", "ASKING"])
def test_the_documented_user_can_ask_what_other_deployments_need(guarded_redis: RedisServer, command: str) -> None:
    assert guarded_redis.ask("ACL", "DRYRUN", "guard", *command.split()) == b"+OK\r\n"


def test_no_command_is_documented_that_is_never_given() -> None:
    """Only what the scripts call and the stores ask."""
    folder = ROOT / "fraiseql_guard" / "stores"
    sources = [*folder.rglob("*.py"), *folder.rglob("*.lua")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    for command in (word[1:].upper() for word in documented() if word.startswith("+")):
        first, _, second = command.partition("|")
        assert re.search(rf"""["']{first}["']""" + (rf', "{second}"' if second else ""), text), command
