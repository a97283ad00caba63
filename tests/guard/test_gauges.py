"""What a process is and what is in force, as gauges."""

from __future__ import annotations

import asyncio
import json
import os
from importlib.metadata import version

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Rate
from fraiseql_guard.operations.fleet.census import INTERVAL_SECONDS, SanctionCensus
from fraiseql_guard.operations.operator.records import read_heartbeat
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.support import keys
from tests.support.asgi import LOOPBACK, graphql, request
from tests.support.key_server import KeyServer
from tests.support.waiting import until

VERSION = version("fraiseql-guard")


async def test_the_build_is_told_with_its_version_and_the_fingerprint_of_its_settings(guarded) -> None:
    one, same, other = guarded(), guarded(), guarded(max_query_depth=7)

    def build(guard) -> dict[str, float]:
        return {each.labels["fingerprint"]: each.value for each in guard.metrics()["fraiseql_guard_build_info"]}

    assert build(one) == build(same) != build(other)
    assert list(build(one).values()) == [1]
    assert one.metric("fraiseql_guard_build_info", version=VERSION) == 1


async def test_the_fingerprint_is_that_of_status_and_follows_an_override(guarded) -> None:
    guard = guarded()
    guard.guard.runtime.control.ensure_polling()
    store = guard.guard.runtime.store
    await until(lambda: guard.guard.reloader.components.fleet.heartbeat.worker_id)
    (before,) = {each.worker.fingerprint for each in await workers(store)}
    assert guard.metric("fraiseql_guard_build_info", fingerprint=before) == 1
    await store.overrides.put(Override(OverrideKind.SETTING, "FRAISEQL_MAX_QUERY_DEPTH", value="3"))
    await guard.heard()
    await until(lambda: guard.metric("fraiseql_guard_build_info", fingerprint=before) == 0)
    assert guard.metric("fraiseql_guard_build_info", version=VERSION) == 1
    await guard.guard.aclose()


async def workers(store):
    beats = []
    for _ in range(200):
        if beats := await store.fleet.beats():
            break
        await asyncio.sleep(0.05)
    return [read_heartbeat(beat.payload) for beat in beats]


async def test_what_operators_have_said_and_what_is_sanctioned_is_counted(guarded) -> None:
    guard = guarded()
    store = guard.guard.runtime.store
    await store.sanctions.impose(Sanction(Subject("address", "203.0.113.1"), PolicyName.DOS, 600))
    await store.limits.set(Subject("address", "203.0.113.2"), Rate.of(5, 60), 0, 600)
    await store.overrides.put(Override(OverrideKind.BLOCK, "203.0.113.0/24"))
    await store.overrides.put(Override(OverrideKind.MODE, "all", value="monitor"))
    await store.overrides.put(Override(OverrideKind.OPERATION, "Dear"))
    await store.overrides.put(Override(OverrideKind.OPERATION, "Dearer"))
    await guard.heard()
    await until(lambda: guard.metric("fraiseql_guard_sanctions_in_force") == 1)
    await until(lambda: guard.metric("fraiseql_guard_overrides_in_force", kind="limit") == 1)
    found = {kind: guard.metric("fraiseql_guard_overrides_in_force", kind=kind) for kind in KINDS}
    assert found == {"block": 1, "allow": 0, "mode": 1, "setting": 0, "document": 0, "operation": 2, "limit": 1}
    await store.overrides.delete(OverrideKind.OPERATION, "Dear")
    await guard.heard()
    assert guard.metric("fraiseql_guard_overrides_in_force", kind="operation") == 1
    await guard.guard.aclose()


KINDS = ("block", "allow", "mode", "setting", "document", "operation", "limit")


async def test_the_store_is_asked_every_few_seconds_and_not_with_every_poll(guarded, monkeypatch) -> None:
    guard, asked, now = guarded(), [], [1000.0]
    store = guard.guard.runtime.store
    counted = store.sanctions.count

    async def count() -> int:
        asked.append(now[0])
        return await counted()

    monkeypatch.setattr(store.sanctions, "count", count)
    census = SanctionCensus(store, observer=guard.guard.recorder.process, clock=lambda: now[0])
    for _ in range(40):
        await census.tick()
        now[0] += 0.5
    assert len(asked) == 20 / INTERVAL_SECONDS


# --- the JWK set ------------------------------------------------------------------------------------------------------


def jwks() -> bytes:
    return keys.jwk_set(keys.jwk(keys.private("P-256"), kid="key-0")).encode()


async def test_the_age_of_a_fetched_set_is_told_once_there_is_one(guarded, clock) -> None:
    async with KeyServer() as server:
        server.body = jwks()
        guard = guarded(jwks_url=server.url, clock=clock)
        await request(guard, "GET", "/metrics", client=LOOPBACK)
        assert "fraiseql_guard_jwks_age_seconds" not in guard.metrics()
        token = make_token(keys.private("P-256"), sub="alice", kid="key-0")
        assert (await graphql(guard, "{me{id}}", token=token)).status == 200
        guard.advance(100)
        await request(guard, "GET", "/metrics", client=LOOPBACK)
        assert guard.metric("fraiseql_guard_jwks_age_seconds", source="url") == 100
        await guard.guard.aclose()


async def test_the_age_of_a_set_in_a_file_is_that_of_the_file(guarded, tmp_path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks())
    stat = path.stat()
    os.utime(path, (stat.st_atime - 5000, stat.st_mtime - 5000))
    guard = guarded(jwks_file=path)
    await request(guard, "GET", "/metrics", client=LOOPBACK)
    assert 5000 <= guard.metric("fraiseql_guard_jwks_age_seconds", source="file") < 5100
    assert json.loads(path.read_text())
    await guard.guard.aclose()
