"""What an operator tells the fleet acts in every worker within a second, and ends by itself."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.operator.records import read_heartbeat, read_refusal
from fraiseql_guard.stores.overrides import CLEAR_CACHES, GC, Override, OverrideKind, command
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.telemetry.process import POOL
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

DEEP = "{a{b{c{d{e{f{g{h{i{j{k{l}}}}}}}}}}}}"
MODE, SETTING = OverrideKind.MODE, OverrideKind.SETTING


def store_of(guard):
    return guard.guard.runtime.store


async def soon(true: Callable[[], bool]) -> bool:
    """Whether something becomes true; how quickly is not asked on a machine that does other things as well."""
    await until(true)
    return True


def in_force(guard, option: str, value: object) -> Callable[[], bool]:
    return lambda: getattr(guard.guard.settings, option) == value


async def status(guard, query: str = "{me{id}}", **more) -> int:
    return (await graphql(guard, query, **more)).status


@pytest.fixture
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
async def fleet(guarded, redis):
    """Two workers, each with its own store on one Redis."""
    guards = [guarded(redis_url=redis.url, store_timeout_ms=5000) for _ in range(2)]
    for guard in guards:
        assert await status(guard) == 200
    yield guards
    for guard in guards:
        await guard.guard.aclose()


# --- modes and settings ----------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_one_word_puts_all_workers_into_monitor_mode_and_back(fleet) -> None:
    first, second = fleet
    assert [await status(guard, DEEP) for guard in fleet] == [400, 400]
    await store_of(first).overrides.put(Override(MODE, "all", 600, "an incident", "alice", "monitor"))
    assert await soon(in_force(second, "mode", "monitor"))
    assert await soon(in_force(first, "mode", "monitor"))
    assert [await status(guard, DEEP) for guard in fleet] == [200, 200]
    assert second.metric("fraiseql_guard_would_refuse_total", code="QUERY_TOO_DEEP") == 1
    assert second.guard.settings.sources["mode"] == "override"
    (line,) = second.lines("guard.overridden")
    assert line["context"]["overrides"][name_of("mode")] == "monitor"
    await store_of(second).overrides.delete(MODE, "all")
    assert await soon(in_force(first, "mode", "enforce"))
    assert await status(first, DEEP) == 400
    assert first.guard.settings.sources["mode"] == "default"


async def test_the_mode_of_one_protection_wins_over_the_mode_of_all(guarded) -> None:
    guard = guarded()
    await status(guard)
    await store_of(guard).overrides.put(Override(MODE, "query_limits", 600, value="enforce"))
    await store_of(guard).overrides.put(Override(MODE, "all", 600, value="monitor"))
    assert await soon(in_force(guard, "mode", "monitor"))
    assert await status(guard, DEEP) == 400


@pytest.mark.redis
async def test_a_setting_is_overridden_everywhere_and_the_base_is_back_when_it_ends(fleet) -> None:
    first, second = fleet
    variable = name_of("max_query_depth")
    await store_of(first).overrides.put(Override(SETTING, variable, 4, value="20"))
    assert await soon(in_force(second, "max_query_depth", 20))
    assert await status(second, DEEP) == 200
    assert await soon(in_force(second, "max_query_depth", 10))
    assert await status(second, DEEP) == 400


async def test_an_override_wins_over_an_argument(guarded) -> None:
    guard = guarded(max_query_depth=20)
    assert await status(guard, DEEP) == 200
    await store_of(guard).overrides.put(Override(SETTING, name_of("max_query_depth"), 600, value="5"))
    assert await soon(in_force(guard, "max_query_depth", 5))
    assert await status(guard, DEEP) == 400
    await store_of(guard).overrides.delete(SETTING, name_of("max_query_depth"))
    assert await soon(in_force(guard, "max_query_depth", 20))


async def test_a_request_ends_under_the_settings_that_it_began_with(guarded) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, max_in_flight=1)
    at_work = asyncio.create_task(graphql(guard, "{me{id}}"))
    await until(lambda: app.at_work)
    await store_of(guard).overrides.put(Override(SETTING, name_of("query_timeout"), 600, value="0.1"))
    assert await soon(in_force(guard, "query_timeout", 0.1))
    await asyncio.sleep(0.2)  # longer than it would have by now
    refused = await graphql(guard, "{me{id}}")  # the new stack still counts the one at work
    assert refused.code == "CONCURRENCY_LIMIT"
    app.release()
    assert (await at_work).status == 200
    app.seconds = 30
    assert (await graphql(guard, "{me{id}}")).status == 504


async def test_what_was_counted_before_still_counts(guarded) -> None:
    guard = guarded(rate_limit_default="3/hour", rate_limit_burst=0)
    assert [await status(guard) for _ in range(2)] == [200, 200]
    await store_of(guard).overrides.put(Override(SETTING, name_of("max_query_depth"), 600, value="20"))
    assert await soon(in_force(guard, "max_query_depth", 20))
    assert [await status(guard) for _ in range(2)] == [200, 429]
    assert guard.metric("fraiseql_http_requests_total", status="200") == 3


@pytest.mark.parametrize(
    "entry",
    [
        Override(SETTING, "FRAISEQL_MAX_QUERY_DEPTH", 600, value="many"),
        Override(SETTING, "FRAISEQL_MAX_QUERY_DEPTH", 600, value=""),
        Override(SETTING, "FRAISEQL_JWT_SECRET", 600, value="a-secret-of-thirty-two-bytes-or-more"),
        Override(SETTING, "FRAISEQL_GUARD_TRUSTED_PROXIES", 600, value="10.0.0.0/8"),
        Override(SETTING, "FRAISEQL_REDIS_URL", 600, value="redis://192.0.2.1/0"),
        Override(SETTING, "FRAISEQL_GUARD_UNSLICED_LISTS", 600, value="refuse"),  # needs a schema
        Override(SETTING, "NO_SUCH_VARIABLE\n", 600, value="1"),
        Override(MODE, "all", 600, value="off"),
        Override(MODE, "nothing", 600, value="monitor"),
        Override(OverrideKind.COMMAND, "format_disk", 600, id="1"),
        Override(OverrideKind.DOCUMENT, "", 600),
    ],
    ids=lambda entry: f"{entry.kind}-{entry.key.strip()}-{entry.value}",
)
async def test_an_entry_that_cannot_be_used_is_said_once_and_breaks_nothing(guarded, entry) -> None:
    guard = guarded()
    before = guard.guard.settings
    await status(guard)
    await store_of(guard).overrides.put(entry)
    await store_of(guard).overrides.put(Override(SETTING, name_of("max_aliases"), 600, value="7"))
    assert await soon(in_force(guard, "max_aliases", 7))
    await store_of(guard).overrides.put(Override(SETTING, name_of("max_aliases"), 600, value="8"))
    assert await soon(in_force(guard, "max_aliases", 8))
    assert (await status(guard), await status(guard, DEEP)) == (200, 400)
    assert guard.guard.settings.override(max_aliases=before.max_aliases) == before
    said = [
        line for line in guard.lines("guard.configuration") if "an override is ignored" in line["context"]["detail"]
    ]
    assert len(said) == (1 if entry.kind in (MODE, SETTING) else 0)
    assert "thirty-two" not in json.dumps(said)


# --- documents and operations ----------------------------------------------------------------------------------------


async def test_a_blocked_document_is_refused_and_no_other(guarded) -> None:
    guard = guarded(batching=True)
    document = "query Export{users{id}}"
    noted = guard.guard.runtime
    assert await status(guard, document) == 200
    digest = sha256(document.encode()).hexdigest()
    await store_of(guard).overrides.put(Override(OverrideKind.DOCUMENT, digest.upper(), 600))
    await guard.heard()
    blocked = await graphql(guard, document)
    assert (blocked.status, blocked.code) == (403, "DOCUMENT_BLOCKED")
    assert 590 < int(blocked.header("retry-after") or 0) <= 600
    assert await status(guard, "query Export{users{id name}}") == 200
    hidden = json.dumps([{"query": "{me{id}}"}, {"query": document}]).encode()
    assert (await request(guard, body=hidden)).code == "DOCUMENT_BLOCKED"
    assert guard.guard.runtime is noted, "blocked documents need no new stack"
    assert guard.metric("fraiseql_guard_refusals_total", code="DOCUMENT_BLOCKED", protection="query_limits") == 2
    await store_of(guard).overrides.delete(OverrideKind.DOCUMENT, digest.upper())
    await guard.heard()
    assert await status(guard, document) == 200


async def test_a_blocked_operation_is_refused_wherever_it_stands(guarded) -> None:
    guard = guarded()
    await status(guard)
    await store_of(guard).overrides.put(Override(OverrideKind.OPERATION, "Export", 600))
    await guard.heard()
    assert await status(guard, "query Export{users{id}}") == 403
    assert await status(guard, "query Other{users{id}}") == 200
    beside = {"query": "query Other{users{id}} query Export{users{id}}", "operationName": "Other"}
    assert (await request(guard, body=json.dumps(beside).encode())).code == "DOCUMENT_BLOCKED"


async def test_a_trusted_document_can_be_blocked_too(guarded, tmp_path) -> None:
    text = "query Trusted{users{id}}"
    digest = sha256(text.encode()).hexdigest()
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({digest: text}))
    guard = guarded(trusted_documents="require", trusted_documents_file=manifest)
    body = json.dumps({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}).encode()
    assert (await request(guard, body=body)).status == 200
    await store_of(guard).overrides.put(Override(OverrideKind.DOCUMENT, digest, 600))
    await guard.heard()
    assert (await request(guard, body=body)).code == "DOCUMENT_BLOCKED"


async def test_a_block_of_a_document_is_no_offence(guarded) -> None:
    guard = guarded(dos_offences=1, rate_limit_abuse_offences=1)
    await status(guard)
    await store_of(guard).overrides.put(Override(OverrideKind.OPERATION, "Export", 600))
    await guard.heard()
    assert [await status(guard, "query Export{users{id}}") for _ in range(3)] == [403] * 3
    assert await status(guard) == 200


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_every_worker_collects_its_garbage_once_and_none_that_starts_later(fleet, guarded, redis) -> None:
    first, second = fleet
    done = lambda guard: len(guard.lines("guard.commanded"))  # noqa: E731
    collected: list[int] = []
    seen = lambda phase, info: collected.append(info["generation"]) if phase == "stop" else None  # noqa: E731
    gc.callbacks.append(seen)
    try:
        await store_of(first).overrides.put(command(GC, actor="alice"))
        assert await soon(lambda: done(first) == done(second) == 1)
    finally:
        gc.callbacks.remove(seen)
    assert collected.count(2) >= 2
    late = guarded(redis_url=redis.url, store_timeout_ms=5000)
    await status(late)
    await asyncio.sleep(1.2)
    assert [done(guard) for guard in (first, second, late)] == [1, 1, 0]
    await store_of(first).overrides.put(command(GC))
    assert await soon(lambda: [done(guard) for guard in (first, second, late)] == [2, 2, 1])
    await late.guard.aclose()


async def test_clearing_caches_forgets_documents_tokens_and_what_the_app_has_registered(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    token, cleared = make_token(secret, sub="alice"), []
    guard.guard.observe_cache("loader", lambda: 0, lambda: cleared.append("loader"))
    guard.guard.observe_cache("broken", lambda: 0, lambda: 1 / 0)
    guard.guard.observe_cache("last", lambda: 0, lambda: cleared.append("last"))
    for _ in range(2):
        assert await status(guard, token=token) == 200
    assert len(guard.lines("security.auth_success")) == 1  # the second was remembered
    await store_of(guard).overrides.put(command(CLEAR_CACHES))
    assert await soon(lambda: cleared == ["loader", "last"])
    assert await status(guard, token=token) == 200
    assert len(guard.lines("security.auth_success")) == 2
    assert any("'broken'" in line["context"]["detail"] for line in guard.lines("guard.configuration"))


# --- the file --------------------------------------------------------------------------------------------------------


async def test_a_file_does_the_same_without_redis(guarded, tmp_path) -> None:
    path = tmp_path / "overrides.yml"
    guard = guarded(overrides_file=path)
    assert (await status(guard), await status(guard, DEEP)) == (200, 400)
    path.write_text(
        """
        modes: [{protection: query_limits, mode: monitor, reason: an incident}]
        settings: [{variable: FRAISEQL_GUARD_MAX_ALIASES, value: 7}]
        blocks: [{ip: 198.51.100.0/24}]
        operations: [{name: Export}]
        """
    )
    assert await soon(in_force(guard, "max_aliases", 7))
    assert await status(guard, DEEP) == 200
    assert await status(guard, client=("198.51.100.7", 1)) == 403
    path.write_text("modes: nonsense\n")
    assert await soon(lambda: any("last good overrides" in each["context"]["detail"]
                                  for each in guard.lines("guard.configuration")))  # fmt: skip
    assert guard.guard.settings.max_aliases == 7
    await store_of(guard).overrides.put(Override(SETTING, name_of("max_aliases"), 600, value="9"))
    assert await soon(in_force(guard, "max_aliases", 9))  # the store's word comes later, and for a while
    await store_of(guard).overrides.delete(SETTING, name_of("max_aliases"))
    assert await soon(in_force(guard, "max_aliases", 7))
    path.unlink()
    assert await soon(in_force(guard, "max_aliases", 30))
    assert await status(guard, DEEP) == 400


async def test_the_first_request_meets_all_of_the_file(guarded, tmp_path) -> None:
    path = tmp_path / "overrides.yml"
    path.write_text("blocks: [{ip: 198.51.100.0/24}]\n")
    blocking = guarded(overrides_file=path)
    assert await status(blocking, client=("198.51.100.7", 1)) == 403
    path.write_text("blocks: [{ip: 198.51.100.0/24}]\nmodes: [{protection: all, mode: monitor}]\n")
    watching = guarded(overrides_file=path)
    assert await status(watching, client=("198.51.100.7", 1)) == 200


async def test_a_command_that_the_store_held_before_a_start_is_not_carried_out(guarded, tmp_path) -> None:
    path = tmp_path / "overrides.yml"
    path.write_text("modes: [{protection: all, mode: monitor}]\n")
    guard = guarded(overrides_file=path)
    await store_of(guard).overrides.put(command(CLEAR_CACHES))
    assert await status(guard) == 200
    await guard.heard()
    assert guard.lines("guard.commanded") == []
    await store_of(guard).overrides.put(command(CLEAR_CACHES))
    assert await soon(lambda: len(guard.lines("guard.commanded")) == 1)


# --- what the fleet knows of itself ----------------------------------------------------------------------------------


def start(line: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.redis
async def test_workers_are_seen_while_they_live(redis) -> None:
    line = [sys.executable, "-m", "tests.support.fleet_worker", redis.url]
    workers = [start(line) for _ in range(4)]
    store = RedisStore(redis.url, timeout_seconds=5)

    async def living(wanted: set[int]) -> list:
        for _ in range(600):
            found = [read_heartbeat(beat.payload) for beat in await store.fleet.beats()]
            if {each.worker.pid for each in found} == wanted:
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"{[each.worker.pid for each in found]} instead of {wanted}")

    try:
        for worker in workers:
            assert int(await asyncio.to_thread(worker.stdout.readline)) == worker.pid
        found = await living({worker.pid for worker in workers})
        assert len({each.worker.id for each in found}) == 4
        assert len({each.worker.fingerprint for each in found}) == 1
        assert found[0].worker.modes["rate_limit"] == "enforce"
        assert not found[0].worker.breaker_open
        workers[0].kill()
        await living({worker.pid for worker in workers[1:]})  # it says nothing any more
        workers[1].communicate(b"\n", timeout=30)
        assert workers[1].returncode == 0
        await living({worker.pid for worker in workers[2:]})  # it has said good-bye
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        await store.aclose()


@pytest.mark.redis
async def test_what_a_worker_says_of_itself(guarded, redis, secret) -> None:
    other = "another-hmac-secret-of-more-than-thirty-two-bytes"
    guards = [
        guarded(redis_url=redis.url, store_timeout_ms=5000, jwt_secret=secret, jwt_secret_old=other),
        guarded(redis_url=redis.url, store_timeout_ms=5000, jwt_secret=other),
    ]
    for guard in guards:
        guard.guard.host.fact_sources.offer(POOL, lambda: {"active": 3, "idle": 2, "total": 10, "waiting": 0})
        for _ in range(2):
            assert await status(guard, token=make_token(other, sub="alice")) == 200
        assert await status(guard) == 401
    store, found = store_of(guards[0]), []
    for _ in range(600):
        found = [read_heartbeat(beat.payload) for beat in await store.fleet.beats()]
        if len(found) == 2 and all(each.seen.requests == 3 for each in found):
            break
        await asyncio.sleep(0.1)
    by_keys = {tuple(each.worker.token_keys): each for each in found}
    old, current = by_keys[("old",)], by_keys[("current",)]
    assert old.worker.token_keys == {"old": 2}
    assert old.worker.key_fingerprints["old"] == current.worker.key_fingerprints["current"]
    assert old.worker.fingerprint != current.worker.fingerprint
    assert 0 < old.worker.memory["used_bytes"] < old.worker.memory["limit_bytes"]
    assert old.worker.pool == {"active": 3, "idle": 2, "total": 10, "waiting": 0}
    callers = {(each.kind, each.shown): each for each in old.callers}
    assert (callers["user", "alice"].name, callers["user", "alice"].requests) == ('[null,null,"alice"]', 2)
    assert callers["address", "203.0.113.7"].by_code == {"UNAUTHENTICATED": 1}
    assert old.seen.addresses == {"203.0.113.7": 3}
    assert old.seen.users == {'[null,null,"alice"]': 2}
    payloads = b"".join([beat.payload for beat in await store.fleet.beats()])
    assert secret.encode() not in payloads
    assert other.encode() not in payloads
    for guard in guards:
        await guard.guard.aclose()


async def test_a_refusal_is_found_by_its_request_id(guarded) -> None:
    guard = guarded(max_query_depth=2)
    refused = await graphql(guard, "query Deep{a{b{c}}}")
    await graphql(guard, "{ok}")
    store, found = store_of(guard), []
    for _ in range(600):
        found = [read_refusal(record) for record in await store.fleet.recent(10)]
        if found:
            break
        await asyncio.sleep(0.05)
    (refusal,) = found
    assert refusal.request_id == refused.extensions["requestId"]
    assert (refusal.code, refusal.status, refusal.limit, refusal.actual) == ("QUERY_TOO_DEEP", 400, 2, 3)
    assert (refusal.operation, refusal.user_id, refusal.ip_address) == ("Deep", "anonymous", "203.0.113.7")
    assert refusal.enforced
    assert name_of("max_query_depth") in refusal.remedy


async def test_a_flood_of_one_caller_leaves_three_refusals_a_minute(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0, mode="monitor")
    for _ in range(20):
        await graphql(guard, DEEP)
    await graphql(guard, DEEP, client=("198.51.100.7", 1))
    found: list = []

    async def told() -> bool:
        found[:] = [read_refusal(record) for record in await store_of(guard).fleet.recent(100)]
        return any(each.ip_address == "198.51.100.7" for each in found)

    await until(told)
    assert 0 < sum(each.ip_address == "203.0.113.7" for each in found) <= 6  # the minute may turn meanwhile
    assert not any(each.enforced for each in found)
