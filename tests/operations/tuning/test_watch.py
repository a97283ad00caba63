"""A worker sums up what its own requests ask for, and tells it with its heartbeat."""

from __future__ import annotations

import orjson
import pytest

from fraiseql_guard.operations.tuning.usage_report import from_json
from fraiseql_guard.operations.tuning.watch import KEPT_SECONDS, MAX_BYTES, PER_SECOND
from fraiseql_guard.testing import ManualClock, make_token
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, graphql

DEEP = "{a{a{a{a{a{a{a{a{a{a{a{id}}}}}}}}}}}}"


def usage_of(guarded):
    guarded.flush()
    return guarded.guard.reloader.components.telemetry.usage


@pytest.mark.parametrize("mode", ["monitor", "enforce"])
async def test_what_was_measured_is_known_in_either_mode(guarded, mode):
    guard = guarded(EchoApp(), mode=mode, jwt_secret=SECRET, auth_required="false", tiers="pro=500/minute")
    token = make_token(SECRET, sub="ada", tier="pro")
    for _ in range(3):
        await graphql(guard, "query Home { users(limit: 7) { name } }", token=token)
    await graphql(guard, DEEP)
    report = usage_of(guard).report()
    depth = report.measures["depth"]
    assert {tier: (each.total, each.largest) for tier, each in depth.by_tier.items()} == {
        "pro": (3, 2),
        "anonymous": (1, 12),
    }
    assert (depth.ordinary.largest, report.measures["list_size"].everything.largest) == (2, 7)
    assert sorted((each.name, each.suspicious) for each in report.operations.values()) == [("", 1), ("Home", 0)]
    assert (report.requests, report.callers.estimate()) == (4, 2)


async def test_what_the_database_took_is_known(guarded):
    async def app(scope, receive, send):
        guard.guard.database.record_query(0.25, query_type="select")
        guard.guard.database.record_query(0.5, query_type="select")
        await EchoApp()(scope, receive, send)

    guard = guarded(app)
    await graphql(guard, "{ users { name } }")
    [operation] = usage_of(guard).report().operations.values()
    assert operation.database_count == 1
    assert abs(operation.database_us - 750_000) < 0.02 * 750_000


async def test_a_sample_stands_for_all(guarded):
    clock = ManualClock()
    guard = guarded(EchoApp(), clock=clock, rate_limit_default="100000/minute")
    for _ in range(4):
        for number in range(PER_SECOND * 4):
            await graphql(guard, "{ a { b } }" if number % 2 else "{ a { b { c } } }")
        usage_of(guard)
        clock.advance(1)
    report = usage_of(guard).report()
    assert abs(report.requests - PER_SECOND * 16) <= PER_SECOND
    assert report.measures["depth"].everything.largest == 3


async def test_a_day_later_it_is_forgotten(guarded):
    clock = ManualClock()
    guard = guarded(EchoApp(), clock=clock)
    await graphql(guard, "query Old { a { b } }")
    for _ in range(2):
        assert "Old" in {each.name for each in usage_of(guard).report().operations.values()}
        clock.advance(KEPT_SECONDS + 1)
        await graphql(guard, "query New { a { b } }")
    assert {each.name for each in usage_of(guard).report().operations.values()} == {"New"}


async def test_the_share_of_a_heartbeat_is_bounded_whatever_callers_send(guarded):
    clock = ManualClock()
    guard = guarded(EchoApp(), clock=clock, jwt_secret=SECRET, mode="monitor")
    for number in range(400):
        token = make_token(SECRET, sub=f"u{number}", tier=f"tier {number % 40} {'x' * 80}", clock=clock)
        name = "N" * 200 + str(number)
        query = f"query {name} {{ {'y' * 90}{number}(limit: {number * number + 1}, offset: {number * 31}) {{ a }} }}"
        await graphql(guard, query, token=token)
        clock.advance(0.5)
    clock.advance(11)  # the guard's own heartbeat may just have made one
    written = usage_of(guard).for_heartbeat()
    assert 1_000 < len(orjson.dumps(written)) <= MAX_BYTES
    # Deferred records come many at once, so that some are sampled.
    assert abs(from_json(written).measures["depth"].everything.total - 400) <= 5
    # Made anew after ten seconds, and not sooner.
    await graphql(guard, "{ a }")
    assert usage_of(guard).for_heartbeat() is written
    clock.advance(11)
    assert usage_of(guard).for_heartbeat() is not written


async def test_nothing_is_told_before_the_first_request(guarded):
    assert usage_of(guarded(EchoApp())).for_heartbeat() is None
