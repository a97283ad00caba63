"""What other software writes to our keys is left out, counted and named once; it ends no poll, no view and no block."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import redis

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit, Rate
from fraiseql_guard.operations.operator.interface import Origin, Target
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores import AdmitRequest
from fraiseql_guard.stores.documents import TrustedDocument
from fraiseql_guard.stores.documents_watch import DocumentsWatch
from fraiseql_guard.stores.failover import FailoverStore
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.stores.overrides_watch import OverridesWatch
from fraiseql_guard.stores.recent_sanctions import RecentSanction
from fraiseql_guard.stores.redis.client.cluster import key_slot
from fraiseql_guard.stores.redis.key_families import FAMILIES, KeyRow, row_of
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.stores.refused_documents import RefusedFor
from tests.stores.redis.test_namespace import use_everything
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis

LOOSE = Limit(100_000, 3600)
CALLER = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")
BLOCKED = Subject("user", json.dumps([None, None, "mallory"], separators=(",", ":")))
FAILED = Escalation(PolicyName.BRUTE_FORCE, offences=3, window_seconds=60, sanction_seconds=60)
DEEP = b"[" * 20_000
FAR = 9 * 10**15
JUNK: dict[str, bytes] = {
    "empty": b"",
    "text": b"nonsense",
    "not UTF-8": b"\xff\xfe\x00\x9f",
    "deeply nested": DEEP,
    "deeply nested behind a moment": b"%d " % FAR + DEEP,
    "a number that is none": b"nan 5",
    "endless": b"inf inf",
    "too large a number": b"9" * 400 + b" x",
    "zeros": b"0 0 0",
    "negative": b"-1 -1 -1",
    "another JSON": b"%d " % FAR + b'{"a": [1, null, "x"]}',
    "an array of the wrong things": b"%d " % FAR + b"[[], {}, 5, null]",
    "our kinds with other types": b'["user", 5, null, "operator"]',
    "a policy of another version": b'["user", "x", "", "curfew"]',
    "a worker with other types": b'{"worker": {"id": 1, "host": [], "pid": "x"}, "callers": 5, "seen": []}',
    "a moment beyond the calendar": json.dumps(
        {"at": 1e300, "actor": "x", "event": "x", "fields": {}, "request_id": "x"}
    ).encode(),
    "huge": b"x" * 300_000,
}
NAMES: dict[str, bytes] = {
    **JUNK,
    "a version": b"#",
    "a number of ours": b"86400",
    "a policy": b"operator",
    "another policy": b"brute_force",
    "a block": b"block:198.51.100.0/24",
    "a mode": b"mode:all",
    "an id": b":document",
}
TYPES = ("string", "hash", "list", "zset", "set", "stream")


@pytest.fixture
def client(redis_session: RedisServer) -> Iterator[redis.Redis]:
    """A stranger's connection to an empty server."""
    redis_session.flush()
    with redis.Redis(port=redis_session.port, socket_timeout=20) as found:
        yield found


def write(client: redis.Redis, key: str, kind: str, value: bytes) -> None:
    """Put junk into a key, made anew if it is of another type."""
    if client.type(key) not in (b"none", kind.encode()):
        client.delete(key)
    if kind == "string":
        client.set(key, value)
    elif kind == "hash":
        client.hset(key, mapping={name[:100_000]: value for name in NAMES.values()})
    elif kind == "list":
        client.rpush(key, value)
        client.lpush(key, value)
    elif kind == "set":
        client.sadd(key, value)
    elif kind == "stream":
        client.xadd(key, {"x": value})
    else:
        client.zadd(key, {value: FAR, value + b" ": float("inf"), value + b"  ": 5.5})


def keys_of(row: KeyRow) -> list[str]:
    """Keys of a family, as they are called in these tests."""
    if row.common:
        tails = {KeyFamily.LIFTING: [":automatic", ":any"]}.get(row.family, [row.tail])
        return [f"fg:{{{row.common}}}{tail}" for tail in tails]
    found = []
    for subject in (CALLER, BLOCKED):
        base, member = f"fg:{{{subject.tag}}}:", subject.member
        tails = {
            KeyFamily.SANCTIONS: [f"s{member}", "s", f"m:s{member}"],
            KeyFamily.LIMITS: [f"l{member}"],
            KeyFamily.BUCKETS: [f"b:{member}:default" if member else "b:default"],
            KeyFamily.OFFENCES: [f"o:brute_force:{member}", f"m:o:brute_force:{member}"],
            KeyFamily.REPEATS: [f"r:brute_force:{member}", f"m:r:brute_force:{member}", "r:brute_force:"],
            KeyFamily.GROUPS: ["g", "m:g"],
        }[row.family]
        found += [base + tail for tail in tails]
    return list(dict.fromkeys(found))


class Found(list[tuple[KeyFamily, str, bool]]):
    """An observer: what was left out, and what failed."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[str] = []

    def store_unreadable(self, family: KeyFamily, detail: str, first: bool) -> None:
        self.append((family, detail, first))

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        self.failed.append(f"{reason} {detail}")

    def store_fallback(self, policy: str) -> None:
        self.failed.append(policy)

    def store_recovered(self, outage_seconds: float) -> None:
        pass


def failover(server: RedisServer, observer: Found) -> FailoverStore:
    """A store as a guard has it."""
    return FailoverStore(RedisStore(server.url, timeout_seconds=10), settings=Settings.load({}), observer=observer)


async def admitted(store: FailoverStore) -> None:
    """A request goes through, and so do those that count an offence."""
    for enforced in (True, False):
        request = AdmitRequest(CALLER, (Charge("default", LOOSE),), exempt=frozenset(PolicyName), enforced=enforced)
        assert (await store.admit(request)).admitted
        request.offence, request.call = FAILED, None
        for _ in range(3):
            assert (await store.admit(request)).admitted


class Heeding:
    """A process with live connections."""

    def wanted(self) -> bool:
        return True

    def sanctioned(self, recent: Sequence[RecentSanction]) -> None:
        assert all(each.policy in PolicyName for each in recent)


def quiet(_event, _fields):
    """The audit trail of operators that no test here reads."""


async def use_all(store: FailoverStore, blocked: Subject | None) -> None:
    """All that polls, decides, shows and changes: none of it fails."""
    operator = StoreOperator(store, Settings.load({}), audit=quiet)
    await admitted(store)
    if blocked is not None:
        assert (await store.admit(AdmitRequest(blocked, (Charge("default", LOOSE),)))).sanction is not None
    watch = OverridesWatch(store.overrides, on_change=lambda _: None)
    watch.heed = Heeding()
    await watch.refresh()
    await DocumentsWatch(store.documents, on_change=lambda _: None, on_problem=lambda _: None).refresh()
    await store.refused_documents.note([RefusedFor("ab", "cd")])
    await store.fleet.remember([b"{}"])
    await store.fleet.beat("worker", b"{}", 60)
    status = await operator.status()
    assert status.store_answers
    for look in (operator.blocks, operator.blocks_page, operator.limits, operator.offenders, operator.refusals,
                 operator.actions, operator.switches, operator.allowed, operator.documents):  # fmt: skip
        await look()
    await operator.blocks_page(logins=True)
    await operator.block(Target(user_id="ada"), duration_seconds=60)
    assert any(each.target.user_id == "ada" for each in await operator.blocks())
    assert (await operator.lift(Target(user_id="ada"))).affected == 1
    await operator.set_limit(Target(ip_address="192.0.2.7"), "9/minute")
    assert (await operator.clear_limit(Target(ip_address="192.0.2.7"))).affected == 1
    await operator.lift(Target(ip_address="192.0.2.0/24"))
    await operator.allow("192.0.2.7")
    await operator.disallow("192.0.2.7")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.family.value)
async def test_junk_of_every_type_in_every_family_ends_nothing(redis_session, client, row, kind) -> None:
    observer = Found()
    store = failover(redis_session, observer)
    async with aclosing(store):
        for value in JUNK.values():
            for key in keys_of(row):
                write(client, key, kind, value)
            if kind == "string":  # the next value takes the place of this one
                await admitted(store)
        await use_all(store, None)
        assert observer.failed == []
        await StoreOperator(store, Settings.load({}), audit=quiet).lift_all(origin=None)
        await use_all(store, None)
    assert observer.failed == []
    silent = {KeyFamily.PROBE, KeyFamily.LIFTING, KeyFamily.REFUSED_DOCUMENTS, KeyFamily.REFUSED_TIMES,
              KeyFamily.GROUPS, KeyFamily.DOCUMENT_TEXTS, KeyFamily.HEARTBEAT_TIMES}  # fmt: skip
    families = [family for family, _, _ in observer]
    if row.family not in silent and (row.type, kind) != ("string", "string"):
        assert row.family in families, "it is counted"
    assert len({family for family, _, first in observer if first}) == len([1 for *_, first in observer if first])


async def test_what_ours_have_said_beside_junk_holds(redis_session, client) -> None:
    observer = Found()
    store = failover(redis_session, observer)
    async with aclosing(store):
        await store.sanctions.impose(Sanction(BLOCKED, PolicyName.OPERATOR, 600, "for a reason", "bob"))
        await store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.0/24", 600))
        await store.limits.set(BLOCKED, Rate.of(5, 60), 1, 600)
        names = [name for name in NAMES.values() if name not in (b"operator", b"block:198.51.100.0/24")]
        for row in FAMILIES:
            for key in keys_of(row):
                if client.type(key) == b"hash":
                    client.hset(key, mapping={name[:1000]: value for name in names for value in JUNK.values()})
                elif client.type(key) == b"zset":
                    client.zadd(key, dict.fromkeys(JUNK.values(), FAR))
        operator = StoreOperator(store, Settings.load({}), audit=quiet)
        await use_all(store, BLOCKED)
        control = await store.overrides.read(-1)
        assert control is not None
        assert "203.0.113.0/24" in {str(network) for network, _ in control.networks(OverrideKind.BLOCK)}
        targets = {each.target.user_id or each.target.ip_address for each in await operator.blocks()}
        assert targets >= {"mallory", "203.0.113.0/24"}
        assert [each.target.user_id for each in await operator.limits()] == ["mallory"]
        assert any("cannot be read" in note for note in (await operator.status()).notes)
        assert (await operator.lift_all(origin=Origin.OPERATOR)).affected >= 2
        assert (await store.admit(AdmitRequest(BLOCKED, (Charge("default", LOOSE),)))).sanction is None
    assert observer.failed == []


async def test_the_table_knows_every_key_that_a_store_writes(redis_session, client) -> None:
    seen: set[str] = set()
    store = RedisStore(redis_session.url, timeout_seconds=10)
    async with aclosing(store):
        await use_everything(store)
        await store.limits.set(CALLER, Rate.of(5, 60), 1, 600)
        await store.fleet.beat("worker", b"{}", 60)
        await store.documents.add([TrustedDocument("me", "{me{id}}")])
        await store.refused_documents.note([RefusedFor("ab", "cd")])
        await store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.0/24", 600))
        for number in range(3):
            await store.admit(
                AdmitRequest(Subject("address", f"{number}"), (Charge("default", LOOSE),), offence=FAILED)
            )
        await store.lift_jobs.begin("any", "id", actor="", worker="", total=0)
        await store.ping()
        seen |= {key.decode() for key in client.scan_iter()}
    rows = {key: row_of(key) for key in seen}
    assert [key for key, row in rows.items() if row is None] == []
    assert all(client.type(key).decode() == row.type for key, row in rows.items() if row is not None)
    made: set[Any] = {row.family for row in rows.values() if row is not None}
    assert made == set(KeyFamily)


@pytest.mark.parametrize("value", ["nonsense", "nan 5", "9" * 30, ""])
async def test_a_subjects_own_junk_costs_one_repair(redis_session, client, value) -> None:
    store = RedisStore(redis_session.url, timeout_seconds=10)
    async with aclosing(store):
        client.set(f"fg:{{{BLOCKED.tag}}}:s", value)
        assert (await store.admit(AdmitRequest(BLOCKED, (Charge("default", LOOSE),)))).admitted
        assert client.exists(f"fg:{{{BLOCKED.tag}}}:s") == 0
        assert store.unreadable.count(KeyFamily.SANCTIONS) == 1


@pytest.mark.parametrize("tail", ["s", "b:default", f"l{BLOCKED.member}"])
async def test_it_does_on_a_cluster_too(cluster_session: RedisCluster, tail: str) -> None:
    cluster_session.flush()
    key = f"fg:{{{BLOCKED.tag}}}:{tail}"
    node = cluster_session.node_of(key_slot(key))
    cluster_session.ask(node, "SADD", key, "x")
    store = RedisStore(cluster_session.url, timeout_seconds=10)
    async with aclosing(store):
        for _ in range(2):
            assert (await store.admit(AdmitRequest(BLOCKED, (Charge("default", LOOSE),)))).admitted
        assert cluster_session.ask(node, "TYPE", key) != b"set"
        assert sum(store.unreadable.count(family) for family in KeyFamily) == 1
