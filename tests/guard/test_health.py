"""The health pages: details for those who may see them, and a short page where the app has none."""

import asyncio

import pytest

from fraiseql_guard.telemetry import Metrics
from fraiseql_guard.telemetry.process import POOL, Memory
from tests.support.asgi import LOOPBACK, EchoApp, graphql, request
from tests.support.redis_server import RedisServer

DETAILS = "/health/detailed"
KUBELET = ("10.1.2.3", 40000)
PROXIED = {"x-forwarded-for": "203.0.113.9"}
TOKEN = "a-token-for-prometheus-of-32-bytes-or-more"


def holding(guard, used: float):
    guard.guard.host.memory.read = lambda: Memory(int(used * 10), 1000)
    return guard


async def details(guard, **caller):
    return await request(guard, "GET", DETAILS, **{"client": LOOPBACK, **caller})


async def test_the_details_have_the_runbooks_form(guarded) -> None:
    guard = holding(guarded(), 42)
    reply = await details(guard)
    assert (reply.status, reply.header("cache-control")) == (200, "no-store")
    assert reply.json == {
        "status": "ok",
        "memory": {"used_bytes": 420, "limit_bytes": 1000, "usage_percent": 42.0},
        "database": None,
        "cache": {"redis": None},
        "findings": [],
    }
    assert guard.app.scopes == []
    assert guard.metric("fraiseql_http_requests_total", endpoint=DETAILS, status="200") == 1


@pytest.mark.parametrize(
    ("caller", "options", "status"),
    [
        ({"client": KUBELET}, {}, 200),
        ({"client": ("203.0.113.9", 1)}, {}, 403),
        ({"client": KUBELET, "headers": PROXIED}, {}, 403),  # a proxy that is not trusted
        ({"client": KUBELET, "headers": {"x-forwarded-for": "10.0.0.1"}}, {"trusted_proxies": "10.1.2.3"}, 403),
        ({"client": LOOPBACK, "headers": {"forwarded": "for=203.0.113.9"}}, {}, 403),
        ({"client": ("203.0.113.9", 1)}, {"metrics_networks": "203.0.113.0/24"}, 200),
        ({"client": ("203.0.113.9", 1), "token": TOKEN}, {"metrics_token": TOKEN}, 200),
        ({"client": KUBELET, "headers": PROXIED, "token": TOKEN}, {"metrics_token": TOKEN}, 200),
        ({"client": ("203.0.113.9", 1), "token": TOKEN[1:]}, {"metrics_token": TOKEN}, 403),
    ],
)  # fmt: skip
async def test_only_private_peers_and_the_metrics_readers_see_them(guarded, caller, options, status) -> None:
    guard = holding(guarded(**options), 42)
    reply = await details(guard, **caller)
    assert reply.status == status
    if status == 403:
        assert reply.json["code"] == "HEALTH_FORBIDDEN"
        assert b"memory" not in reply.body  # nothing of the details


async def test_probes_are_not_counted_against_a_rate(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0)
    assert [(await details(guard, client=KUBELET)).status for _ in range(5)] == [200] * 5


async def test_other_methods_and_other_paths_are_the_apps(guarded) -> None:
    guard = guarded(health_path="/internal/health")
    assert (await details(guard)).json == {"data": {"ok": True}}
    assert (await request(guard, "POST", "/internal/health", client=LOOPBACK)).json == {"data": {"ok": True}}
    head = await request(guard, "HEAD", "/internal/health", client=LOOPBACK)
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("used", "status", "http_status"), [(69, "ok", 200), (70, "degraded", 200), (90, "critical", 503)]
)
async def test_memory_decides_about_the_status(guarded, used, status, http_status) -> None:
    reply = await details(holding(guarded(), used))
    assert (reply.status, reply.json["status"]) == (http_status, status)
    assert reply.json["findings"] == ([] if status == "ok" else [f"{used}.0 percent of the memory is used"])


async def test_the_pool_is_shown_by_whoever_knows_it(guarded) -> None:
    guard = holding(guarded(), 10)
    guard.guard.host.fact_sources.offer(POOL, lambda: {"active": 10, "idle": 0, "total": 10, "waiting": 3})
    reply = await details(guard)
    assert reply.json["database"] == {"pool": {"active": 10, "idle": 0, "total": 10, "waiting": 3}}
    assert (reply.status, reply.json["status"]) == (200, "degraded")


async def test_many_probes_at_once_ask_once(guarded) -> None:
    guard = holding(guarded(), 10)
    asked: list[int] = []
    guard.guard.host.fact_sources.offer(POOL, lambda: asked.append(1) or {"active": 1})
    replies = await asyncio.gather(*(details(guard) for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    for _ in range(20):
        await details(guard)
    assert 1 <= len(asked) < 20  # the worker's heartbeat asks as well, about once a second


@pytest.mark.redis
@pytest.mark.parametrize(("policy", "status", "http_status"), [("local", "degraded", 200), ("closed", "critical", 503)])
async def test_redis_is_asked_itself(guarded, clock, policy, status, http_status) -> None:
    with RedisServer() as server:
        options = {"redis_url": server.url, "store_timeout_ms": 2000, "on_store_failure": policy}
        guard = holding(guarded(clock=clock, **options), 10)
        reply = await details(guard)
        assert (reply.json["status"], reply.json["cache"]) == (
            "ok",
            {"redis": {"answers": True, "breaker_open": False}},
        )
        server.kill()
        guard.advance(1)  # as long as a report is kept
        for _ in range(6):
            await graphql(guard, "{me{id}}")
        reply = await details(guard)
        assert (reply.status, reply.json["status"]) == (http_status, status)
        assert reply.json["cache"] == {"redis": {"answers": False, "breaker_open": True}}
        assert reply.json["findings"][0].startswith("Redis does not answer")
        await guard.guard.aclose()


async def test_broken_metrics_do_not_break_it(guarded, monkeypatch) -> None:
    guard = holding(guarded(), 42)

    def broken(*args):
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(Metrics, "set", broken)
    reply = await details(guard)
    assert (reply.status, reply.json["memory"]["used_bytes"]) == (200, 420)


# --- the short page --------------------------------------------------------------------------------------------------


async def test_the_apps_own_health_page_stays(guarded) -> None:
    app = EchoApp(answer={"mine": True}, status=503)
    reply = await request(guarded(app), "GET", "/health")
    assert (reply.status, reply.json) == (503, {"mine": True})


async def test_an_app_without_one_gets_one(guarded) -> None:
    guard = guarded(EchoApp(status=404))
    reply = await request(guard, "GET", "/health")
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    assert guard.metric("fraiseql_http_requests_total", endpoint="/health", status="200") == 1
    assert (await request(guard, "HEAD", "/health")).body == b""
    assert (await request(guard, "POST", "/health")).status == 404
    assert (await request(guard, "GET", "/other")).status == 404


async def test_an_app_that_fails_there_is_not_called_healthy(guarded) -> None:
    async def broken(scope, receive, send):
        raise LookupError

    with pytest.raises(LookupError):
        await request(guarded(broken), "GET", "/health")
