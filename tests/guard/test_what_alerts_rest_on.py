"""The counters that alerts rest on: born at 0, of callers alone, and moved by what they are for."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import checks
from fraiseql_guard.checks.concurrency import PoolRefusals
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FAULT_PARTS, METRICS
from fraiseql_guard.telemetry.recorder.auth_failures import FailingAddresses
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import LOOPBACK, EchoApp, graphql, request
from tests.support.waiting import until
from tools.expressions import ROOT

REQUESTS = "fraiseql_guard_requests_total"
ADMIN_TOKEN = "the-token-of-the-engineer-on-call"
PAGES = ["/metrics", "/health", "/health/detailed", "/ready"]


def series(guard, name: str) -> set[tuple[str, ...]]:
    """The labels' values of its samples, in the order of their names."""
    return {tuple(value for _, value in sorted(each.labels.items())) for each in guard.metrics().get(name, ())}


async def seen(guard) -> float:
    """The requests that the console shows."""
    return guard.guard.reloader.components.telemetry.traffic.seen(9).requests


@pytest.mark.parametrize("metric", [each for each in METRICS if each.closed], ids=lambda each: each.name)
def test_every_series_with_closed_labels_is_there_from_the_start(guarded, metric):
    order = [metric.labels.index(name) for name in sorted(metric.labels)]
    expected = {tuple(labels[place] for place in order) for labels in metric.closed}
    assert expected <= series(guarded(), metric.name)


def test_every_part_that_can_break_has_its_series():
    """Checks are called by their class, all others as they are written in the code."""
    classes = {
        name
        for module in pkgutil.iter_modules(checks.__path__)
        for name, each in vars(importlib.import_module(f"fraiseql_guard.checks.{module.name}")).items()
        if isinstance(each, type) and hasattr(each, "decide") and each.__module__.endswith(module.name)
    }
    told = re.compile(r'(?:\.fault\(|\bfault, |_fault\(|FAULTS, |unchecked\(runtime, ctx, )"(\w+)"')
    written = {
        part for path in (ROOT / "fraiseql_guard").rglob("*.py") for part in told.findall(path.read_text("utf-8"))
    }
    assert len(written) > 10
    assert classes | written == set(FAULT_PARTS)


@pytest.mark.parametrize("path", PAGES)
async def test_scrapes_and_probes_are_in_no_ratio_and_not_in_the_console(guarded, path):
    guard = guarded()
    for _ in range(3):
        assert (await request(guard, "GET", path, client=LOOPBACK)).status == 200
    assert guard.metric(REQUESTS, kind="own") == guard.metric(REQUESTS) == 3
    assert await seen(guard) == 0
    assert guard.metric("fraiseql_http_requests_total", status="200") == 3  # the contract's counts every answer


@pytest.mark.parametrize("path", PAGES)
async def test_nor_where_plain_requests_are_tallied(path):
    from fraiseql_guard import RateLimitMiddleware

    middleware = RateLimitMiddleware(EchoApp(), rate_limit_default="100/minute")
    for _ in range(5):
        await request(middleware, "GET", path, client=LOOPBACK)
        await request(middleware, "GET", "/page", client=LOOPBACK)
    assert middleware.reloader.components.telemetry.traffic.seen(9).requests == 5
    await middleware.aclose()


async def test_an_attack_on_our_own_pages_is_an_attack(guarded):
    guard = guarded()
    assert (await request(guard, "GET", "/metrics", client=("203.0.113.9", 1))).status == 403
    assert guard.metric(REQUESTS, kind="other", outcome="refused") == guard.metric(REQUESTS) == 1
    assert await seen(guard) == 1


async def test_what_comes_from_outside_is_no_probe(guarded):
    guard = guarded()
    assert (await request(guard, "GET", "/ready", client=("203.0.113.9", 1))).status == 200
    assert guard.metric(REQUESTS, kind="other", outcome="answered") == await seen(guard) == 1


async def test_requests_by_what_they_are_and_what_became_of_them(guarded):
    async def app(scope, receive, send) -> None:
        status = {"/boom": 500, "/private": 401}.get(scope["path"], 200)
        await EchoApp(status=status)(scope, receive, send)

    guard = guarded(app, jwt_secret=SECRET, auth_paths="/private")
    token = make_token(SECRET, sub="bob")
    await graphql(guard, "{me{id}}", token=token)
    await graphql(guard, "{me{id}}")
    await graphql(guard, "{me{id}", token=token)
    await request(guard, "GET", "/page")
    await request(guard, "GET", "/boom")
    await request(guard, "GET", "/private", token=token)
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    await request(guard, "OPTIONS", "/graphql", headers=preflight)
    counted = {
        labels: guard.metric(REQUESTS, kind=labels[0], outcome=labels[1])
        for labels in series(guard, REQUESTS)
        if guard.metric(REQUESTS, kind=labels[0], outcome=labels[1])
    }
    assert counted == {
        ("guarded", "answered"): 1,
        ("guarded", "unauthenticated"): 2,
        ("guarded", "refused"): 1,
        ("other", "answered"): 1,
        ("other", "failed"): 1,
        ("browser", "answered"): 1,
    }


async def test_an_app_that_raises_has_failed(guarded):
    async def app(scope, receive, send) -> None:
        raise LookupError

    guard = guarded(app)
    with pytest.raises(LookupError):
        await request(guard, "GET", "/page")
    assert guard.metric(REQUESTS, outcome="failed") == 1


async def test_addresses_that_fail_are_told_apart_and_forgotten(guarded, clock):
    guard = guarded(jwt_secret=SECRET, clock=clock)
    for number in (1, 2, 2, 3):
        await graphql(guard, "{me{id}}", client=(f"203.0.113.{number}", 1))
    for network in ("2001:db8::1", "2001:db8::2"):  # one /64
        await graphql(guard, "{me{id}}", client=(network, 1))
    guard.guard.recorder.publish()
    assert guard.metric("fraiseql_guard_failing_addresses", source="token") == 4
    assert guard.metric("fraiseql_guard_failing_addresses", source="login") == 0
    guard.advance(300)
    guard.guard.recorder.publish()
    assert guard.metric("fraiseql_guard_failing_addresses", source="token") == 0


async def test_wrong_admin_tokens_are_told_from_missing_ones(guarded):
    guard = guarded(admin_tokens=f"oncall={ADMIN_TOKEN}")
    for token, times in ((None, 1), ("wrong", 2), (ADMIN_TOKEN, 1)):
        for _ in range(times):
            await request(guard, "GET", "/admin/blocks", token=token)
    assert guard.metric("fraiseql_guard_admin_failures_total", token="missing") == 1
    assert guard.metric("fraiseql_guard_admin_failures_total", token="wrong") == 2


async def test_statements_that_the_database_stops_count_once_a_request(guarded):
    guard = None

    async def app(scope, receive, send) -> None:
        for _ in range(3):
            guard.guard.record_query(2.0, query_type="select", table_name="posts", timeout_seconds=2, timed_out=True)
        await EchoApp()(scope, receive, send)

    guard = guarded(app)
    await graphql(guard, "{me{id}}")
    await request(guard, "GET", "/page")
    assert guard.metric("fraiseql_guard_statement_timeouts_total") == 2


def test_a_breaker_is_closed_from_the_start(guarded):
    gauge = "fraiseql_guard_store_breaker_open"
    assert guarded(redis_url="redis://127.0.0.1:1/0").metrics()[gauge] == [({}, 0)]
    assert gauge not in guarded().metrics()
    assert Settings.load({}).redis_url is None


async def test_the_health_page_says_what_is_refused_for_the_pool(guarded):
    app = EchoApp(held=True)
    guard = guarded(app, database_pool_size=2)
    at_work = asyncio.ensure_future(graphql(guard, "{me{id}}"))
    await until(lambda: app.at_work == 1)
    for number in range(3):
        assert (await graphql(guard, f"{{a{number}{{id}}}}")).code == "OVERLOADED"
    report = (await request(guard, "GET", "/health/detailed", client=LOOPBACK)).json
    sentence = "3 operations were refused within a minute: the database connections are used up"
    assert (report["status"], report["findings"]) == ("degraded", [sentence])
    app.release()
    assert (await at_work).status == 200


@pytest.mark.parametrize(("active", "found"), [(18, []), (19, ["19 of 20 database connections are in use"])])
async def test_the_health_page_says_that_the_pool_is_full(guarded, active, found):
    guard = guarded()
    guard.guard.observe_pool(lambda: {"active": active, "idle": 0, "total": 20, "waiting": 0})
    assert (await request(guard, "GET", "/health/detailed", client=LOOPBACK)).json["findings"] == found


async def test_what_is_only_watched_is_not_refused_for_the_pool(guarded):
    app = EchoApp(held=True)
    guard = guarded(app, database_pool_size=2, mode="monitor")
    at_work = [asyncio.ensure_future(graphql(guard, "{me{id}}")) for _ in range(3)]
    await until(lambda: app.at_work == 3)
    assert (await request(guard, "GET", "/health/detailed", client=LOOPBACK)).json["findings"] == []
    app.release()
    await asyncio.gather(*at_work)


@given(st.lists(st.integers(0, 90), max_size=60))
def test_what_was_refused_within_a_minute_is_counted(steps):
    now = 0.0
    refusals = PoolRefusals(clock=lambda: now)
    moments: list[float] = []
    for step in steps:
        now += step / 10
        moments.append(now)
        refusals.note()
        assert refusals.last_minute() == sum(int(moment) > int(now) - 60 for moment in moments)
    now += 61
    assert refusals.last_minute() == 0


def test_failing_addresses_are_bounded():
    failing = FailingAddresses()
    for number in range(12_000):
        failing.note(f"2001:db8::{number:x}", 1.0)
    assert failing.count(2.0) == 10_000
