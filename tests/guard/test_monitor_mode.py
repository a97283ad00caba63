"""In monitor mode nothing is refused, cut, blocked or locked; what would have been is counted and logged."""

import asyncio

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request

WOULD = "fraiseql_guard_would_refuse_total"


async def test_everything_passes_and_is_said(guarded, secret) -> None:
    app = EchoApp()
    guard = guarded(app, mode="monitor", jwt_secret=secret, rate_limit_default="1/minute", rate_limit_burst=0)
    deep = "{a" + "{a" * 30 + "}" * 31
    replies = [
        await graphql(guard, "{me{id}}", token="a.b.c"),
        await graphql(guard, deep),
        await graphql(guard, "{me{id}}"),
        await request(guard, body=b"not json at all"),
        await request(guard, "PUT", body=b"x"),
    ]
    assert [reply.status for reply in replies] == [200] * 5
    assert app.bodies[3] == b"not json at all"
    for code in ("UNAUTHENTICATED", "QUERY_TOO_DEEP", "RATE_LIMITED", "BAD_REQUEST", "METHOD_NOT_ALLOWED"):
        assert guard.metric(WOULD, code=code) >= 1, code
    assert guard.metric("fraiseql_guard_refusals_total") == 0
    for name in ("rate_limit_exceeded", "auth_failures", "graphql_query_complexity_exceeded"):
        assert guard.metric(f"fraiseql_{name}_total") == 0
    for event in ("security.rate_limit", "security.auth_failure", "graphql.expensive_query"):
        assert guard.lines(event)[0]["context"]["enforced"] is False


async def test_an_oversized_body_streams_through_byte_for_byte(guarded) -> None:
    app = EchoApp()
    guard = guarded(app, mode="monitor", max_body_bytes=10)
    reply = await request(guard, chunks=[b"x" * 8, b"y" * 8, b"z" * 8])
    assert (reply.status, app.bodies) == (200, [b"x" * 8 + b"y" * 8 + b"z" * 8])
    assert guard.metric(WOULD, code="BODY_TOO_LARGE") == 1


async def test_nothing_is_cut_at_the_deadline(guarded) -> None:
    app = EchoApp(seconds=0.2)
    guard = guarded(app, mode_timeout="monitor", query_timeout=0.05)
    assert (await graphql(guard, "{users{id}}")).status == 200
    assert (app.stopped, app.finished) == (0, 1)
    assert guard.metric(WOULD, code="QUERY_TIMEOUT") == 1
    assert guard.metric("fraiseql_graphql_queries_success") == 1


async def test_nobody_is_blocked_but_it_is_said_once(guarded, secret) -> None:
    guard = guarded(mode="monitor", jwt_secret=secret)
    for _ in range(20):
        assert (await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="a"))).status == 200
    (line,) = guard.lines("security.brute_force_detected")
    assert line["context"]["enforced"] is False
    assert guard.metric("fraiseql_guard_sanctions_total") == 0


@pytest.mark.parametrize("unreadable", [b"not json", b'{"query":"{me{id}}"}' + b" " * 200])
async def test_monitoring_the_query_limits_alone_does_not_let_anyone_in_without_a_token(
    guarded, secret, unreadable
) -> None:
    guard = guarded(jwt_secret=secret, mode_query_limits="monitor", public_operations="login", max_body_bytes=100)
    assert (await request(guard, chunks=[unreadable[:5], unreadable[5:]])).status == 401
    assert guard.app.bodies == []


async def test_one_protection_can_be_monitored_while_the_others_enforce(guarded) -> None:
    guard = guarded(mode_rate_limit="monitor", rate_limit_default="1/minute", rate_limit_burst=0)
    assert {(await graphql(guard, "{me{id}}")).status for _ in range(3)} == {200}
    assert (await graphql(guard, "{users(limit:5000){id}}")).status == 400
    await asyncio.sleep(0)


async def test_which_protections_monitor_can_be_scraped(guarded) -> None:
    guard = guarded(mode_rate_limit="monitor")
    await graphql(guard, "{me{id}}")
    monitors = "fraiseql_guard_mode_monitor"
    assert guard.metric(monitors, protection="rate_limit") == 1
    assert guard.metric(monitors, protection="query_limits") == 0
    assert guard.metric(monitors) == 1
