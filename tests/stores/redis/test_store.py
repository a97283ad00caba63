"""What only the store on Redis must do: TTLs, healing, one exchange, simultaneous requests, failures by reason."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import KeyFamily, PolicyName
from fraiseql_guard.core.token_buckets import Charge, Limit
from fraiseql_guard.stores import AdmitRequest, StoreError
from fraiseql_guard.stores.redis.client.address import Address
from fraiseql_guard.stores.redis.client.error_replies import reply_error
from fraiseql_guard.stores.redis.store import RedisStore
from tests.stores.conftest import ask
from tests.support.certificate import Certificate
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.redis

CHARGE = Charge("default", Limit(100, 3600))
ABUSE = Escalation(PolicyName.RATE_LIMIT_ABUSE, offences=50, window_seconds=300, sanction_seconds=300)
BRUTE = Escalation(PolicyName.BRUTE_FORCE, offences=1, window_seconds=60, sanction_seconds=100)
NETWORK = Subject("address", "2001:db8:0:1::/64", "2001:db8::/48")


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may break."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def fragile(own_redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(own_redis.url, timeout_seconds=1)
    yield store
    await store.aclose()


async def answers(store: RedisStore) -> bool:
    """Whether it admits. A server that was away a moment ago may need a few moments on a busy machine."""
    try:
        return (await store.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted
    except StoreError:
        return False


async def _number_of_calls(store: RedisStore, command: str) -> int:
    text = (await ask(store, "INFO", "commandstats")).decode()
    lines = [line for line in text.splitlines() if line.startswith(f"cmdstat_{command}:")]
    return int(lines[0].split("calls=")[1].split(",")[0]) if lines else 0


async def test_an_admission_is_one_evalsha(redis_store: RedisStore):
    await redis_store.admit(AdmitRequest(NETWORK, (CHARGE,), abuse=ABUSE))
    before = await _number_of_calls(redis_store, "evalsha")
    for _ in range(10):
        await redis_store.admit(AdmitRequest(NETWORK, (CHARGE, Charge("graphql", CHARGE.limit)), abuse=ABUSE))
    assert await _number_of_calls(redis_store, "evalsha") - before == 10
    assert await _number_of_calls(redis_store, "eval") == 0


async def test_every_key_has_a_ttl_and_the_tag_of_its_subject(redis_store: RedisStore):
    for subject in (NETWORK, Subject("user", "}x{"), Subject("address", "192.0.2.1")):
        for enforced in (True, False):
            escalation = Escalation(PolicyName.DOS, 2, 60, 300, enforced=enforced)
            for _ in range(3):
                await redis_store.admit(AdmitRequest(subject, (CHARGE,), offence=escalation, enforced=enforced))
        await redis_store.admit(AdmitRequest(subject, offence=BRUTE, exempt=frozenset(PolicyName)))
        await redis_store.sanctions.impose(Sanction(subject, PolicyName.OPERATOR, 60))
        full = Charge("full", Limit(1, 60))
        for _ in range(2):
            await redis_store.admit(AdmitRequest(Subject("user", subject.name, subject.group), (full,), abuse=ABUSE))
    await redis_store.ping()
    keys = await ask(redis_store, "KEYS", "*")
    assert len(keys) > 20
    for key in keys:
        assert key.startswith(b"fg:{")
        assert await ask(redis_store, "PTTL", key) > 0, key
        tag = key[key.index(b"{") + 1 : key.index(b"}")]
        assert len(tag) == 32 or tag in (b"sanctions", b"control", b"probe")


async def test_a_buckets_ttl_is_its_refill_time(redis_store: RedisStore):
    await redis_store.admit(AdmitRequest(NETWORK, (Charge("default", Limit(10, 60), tokens=5),)))
    (key,) = await ask(redis_store, "KEYS", "*")
    assert 28_000 < await ask(redis_store, "PTTL", key) <= 30_001  # rounded up


async def test_heals_after_a_script_flush(redis_store: RedisStore):
    await redis_store.admit(AdmitRequest(NETWORK, (CHARGE,)))
    await ask(redis_store, "SCRIPT", "FLUSH")
    results = await asyncio.gather(*(redis_store.admit(AdmitRequest(NETWORK, (CHARGE,))) for _ in range(200)))
    assert sum(result.admitted for result in results) == 99
    await ask(redis_store, "SCRIPT", "FLUSH")
    await redis_store.sanctions.impose(Sanction(NETWORK, PolicyName.OPERATOR, 60))
    assert len(await redis_store.sanctions.all()) == 1
    await ask(redis_store, "SCRIPT", "FLUSH")
    assert await redis_store.sanctions.lift(NETWORK) == 1


async def test_heals_after_a_restart(own_redis: RedisServer, fragile: RedisStore):
    assert (await fragile.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted
    own_redis.kill()
    with pytest.raises(StoreError) as failure:
        await fragile.admit(AdmitRequest(NETWORK, (CHARGE,)))
    assert failure.value.reason == "connection"
    own_redis.restart()
    await until(lambda: answers(fragile))


async def test_a_thousand_simultaneous_requests_on_one_connection(redis_store: RedisStore):
    results = await asyncio.gather(
        *(redis_store.admit(AdmitRequest(NETWORK, (CHARGE,), abuse=ABUSE)) for _ in range(1000))
    )
    assert sum(result.admitted for result in results) == 100
    clients = (await ask(redis_store, "CLIENT", "LIST")).decode().splitlines()
    assert len(clients) == 1


async def test_one_store_serves_several_event_loops(redis_session: RedisServer):
    store = RedisStore(redis_session.url, timeout_seconds=5)

    async def once() -> bool:
        try:
            return (await store.admit(AdmitRequest(Subject("user", "loops"), (CHARGE,)))).admitted
        finally:
            await store.aclose()

    for _ in range(3):
        assert await asyncio.to_thread(lambda: asyncio.run(once()))


async def test_a_busy_event_loop_is_no_slow_store(own_redis: RedisServer):
    store = RedisStore(own_redis.url, timeout_seconds=0.4)
    await store.ping()
    for _ in range(3):
        request = asyncio.create_task(store.admit(AdmitRequest(NETWORK, (CHARGE,))))
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - the point of the test
        assert (await request).admitted
    await store.aclose()


async def test_a_caller_that_leaves_costs_the_others_nothing(redis_store: RedisStore):
    await redis_store.ping()
    tasks = [asyncio.create_task(redis_store.admit(AdmitRequest(NETWORK, (CHARGE,)))) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result.admitted for result in results[1::2])
    assert (await redis_store.admit(AdmitRequest(NETWORK, (CHARGE,)))).buckets[0].remaining == pytest.approx(
        49, abs=0.5
    )


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_frozen_server_is_a_timeout_and_answers_again_after_it(own_redis: RedisServer, fragile: RedisStore):
    await fragile.ping()
    own_redis.freeze()
    results = await asyncio.gather(
        *(fragile.admit(AdmitRequest(NETWORK, (CHARGE,))) for _ in range(20)), return_exceptions=True
    )
    reasons = {getattr(result, "reason", None) for result in results}
    assert "timeout" in reasons
    assert reasons <= {"timeout", "connection"}  # one that is silent for a second is dropped, with what waits on it
    own_redis.thaw()
    await until(lambda: answers(fragile))


async def test_a_silent_connection_is_replaced(own_redis: RedisServer):
    store = RedisStore(own_redis.url, timeout_seconds=0.2)
    await until(lambda: answers(store))
    own_redis.freeze()
    reasons = []
    for _ in range(8):
        with pytest.raises(StoreError) as failure:
            await store.ping()
        reasons.append(failure.value.reason)
    assert reasons[0] == "timeout"
    own_redis.thaw()
    await until(lambda: answers(store))
    await store.aclose()


async def _reason(url: str) -> tuple[str, bool]:
    store = RedisStore(url, timeout_seconds=2)
    try:
        with pytest.raises(StoreError) as failure:
            await store.admit(AdmitRequest(NETWORK, (CHARGE,)))
        return failure.value.reason, failure.value.opens_breaker
    finally:
        await store.aclose()


async def test_passwords():
    with RedisServer("--requirepass", "p@ss w") as server:
        place = f"127.0.0.1:{server.port}"
        assert await _reason(f"redis://:wrong@{place}") == ("refused", True)
        assert await _reason(f"redis://{place}") == ("refused", True)
        store = RedisStore(f"redis://default:p%40ss%20w@{place}/3", timeout_seconds=2)
        assert (await store.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted
        assert "db=3" in (await ask(store, "CLIENT", "LIST")).decode()
        await store.aclose()


async def test_a_server_that_is_full(own_redis: RedisServer, fragile: RedisStore):
    await ask(fragile, "CONFIG", "SET", "maxclients", 1)
    assert await _reason(own_redis.url) == ("refused", True)


async def test_nobody_there():
    assert await _reason(RedisServer().url) == ("connection", True)
    assert await _reason("unix:///nowhere/redis.sock") == ("connection", True)


async def test_a_mistake_of_our_own_does_not_open_the_breaker(redis_store: RedisStore):
    with pytest.raises(StoreError) as failure:
        await ask(redis_store, "EVAL", "return nothing.there", 0)
    assert (failure.value.reason, failure.value.opens_breaker) == ("script", False)


async def test_a_key_of_another_type_is_taken_back(redis_store: RedisStore):
    await redis_store.admit(AdmitRequest(NETWORK, (CHARGE,)))
    (key,) = await ask(redis_store, "KEYS", "*")
    await ask(redis_store, "DEL", key)
    await ask(redis_store, "LPUSH", key, "x")
    assert (await redis_store.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted
    assert await ask(redis_store, "TYPE", key) == b"string"
    assert redis_store.unreadable.count(KeyFamily.BUCKETS) == 1


async def test_a_server_out_of_memory_and_one_that_only_reads(own_redis: RedisServer, fragile: RedisStore):
    await fragile.ping()
    await ask(fragile, "CONFIG", "SET", "maxmemory", 1)
    assert await _reason(own_redis.url) == ("server", True)
    with pytest.raises(StoreError, match="OOM"):
        await fragile.ping()
    await ask(fragile, "CONFIG", "SET", "maxmemory", 0)
    await ask(fragile, "REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(StoreError, match="READONLY"):
        await fragile.admit(AdmitRequest(NETWORK, (CHARGE,)))
    await ask(fragile, "REPLICAOF", "NO", "ONE")
    assert (await fragile.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NOAUTH Authentication required.", "refused"),
        ("WRONGPASS invalid username-password pair", "refused"),
        ("NOPERM this user has no permissions", "refused"),
        ("ERR Protocol error: unauthenticated multibulk length", "refused"),
        ("ERR max number of clients reached", "refused"),
        ("BUSY Redis is busy running a script.", "server"),
        ("LOADING Redis is loading the dataset in memory", "server"),
        ("NOREPLICAS Not enough good replicas to write.", "server"),
        ("MISCONF Redis is configured to save RDB snapshots", "server"),
        ("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed", "server"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "script"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "script"),
        ("ERR user_script:1: Script attempted to access nonexistent global variable 'x'", "script"),
    ],
)
def test_what_an_error_reply_means(text: str, reason: str):
    error, _ = reply_error(text)
    assert error.reason == reason
    assert error.opens_breaker is (reason != "script")


# --- addresses -------------------------------------------------------------------------------------------------------


async def test_a_unix_socket(redis_session: RedisServer):
    store = RedisStore(redis_session.unix_url, timeout_seconds=2)
    await store.ping()
    await store.aclose()


def test_an_address_tells_no_secret():
    address = Address.parse("redis://user:hunter2hunter2@redis.example:6380/2")
    assert (address.host, address.port, address.tls) == ("redis.example", 6380, None)
    assert "hunter2" not in repr(address)
    with pytest.raises(ValueError) as failure:
        Address.parse("redis://user:hunter2/hunter2@redis.example:6380")
    assert "hunter2" not in str(failure.value)
    assert failure.value.__cause__ is None


async def test_tls(tmp_path: Path):
    certificate, port = Certificate.make(tmp_path), RedisServer().port
    with RedisServer(*certificate.arguments(port)):
        trusted = RedisStore(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate.file}", timeout_seconds=5)
        assert (await trusted.admit(AdmitRequest(NETWORK, (CHARGE,)))).admitted
        await trusted.aclose()
        assert await _reason(f"rediss://127.0.0.1:{port}") == ("connection", True)
        careless = RedisStore(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none", timeout_seconds=5)
        await careless.ping()
        await careless.aclose()
    assert Address.parse("rediss://h?ssl_cert_reqs=none").tls.verify_mode is ssl.CERT_NONE
