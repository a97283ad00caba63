"""Memory as an operator sees it: gauges, events at two thresholds, queries shed as a last resort, caches."""

from functools import partial

import pytest

from fraiseql_guard import Guard, MetricsMiddleware, RateLimitMiddleware
from fraiseql_guard.telemetry.process.memory import read_memory
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request
from tests.support.machine import MIB, Machine
from tests.support.waiting import until

LIMIT = 1000 * MIB


@pytest.fixture
def container(tmp_path):
    """A container with a limit; ``use(percent)`` says how full it is."""

    class Container(Machine):
        def use(self, percent: float, *, swap: int = 0) -> None:
            self.group_v2("", int(LIMIT * percent / 100) + 50 * MIB, LIMIT, inactive=50 * MIB, swap=swap)

        def holds(self, guard):
            guard.guard.host.memory.read = partial(read_memory, self.root)
            return guard

    machine = Container(tmp_path / "machine")
    machine.member_of("/", version=2)
    machine.use(40)
    return machine


def look(guard) -> None:
    """What the watcher does every two seconds."""
    guard.guard.runtime.publish()


async def test_the_gauges_show_the_container(guarded, container) -> None:
    guard = container.holds(guarded())
    look(guard)
    assert guard.metric("fraiseql_guard_memory_used_bytes") == 400 * MIB
    assert guard.metric("fraiseql_guard_memory_limit_bytes") == LIMIT
    assert guard.metric("fraiseql_guard_memory_usage_ratio") == pytest.approx(0.4)
    assert guard.lines("system.high_memory") == []


async def test_each_threshold_is_said_once_when_it_is_passed(guarded, container) -> None:
    guard = container.holds(guarded())
    for percent in (40, 75, 76, 92, 93, 68, 91, 60, 72):
        container.use(percent, swap=7 * MIB)
        look(guard)
    high, critical = guard.lines("system.high_memory"), guard.lines("system.memory_critical")
    assert [(line["level"], line["context"]) for line in high] == [
        (
            "WARNING",
            {
                "memory_used_bytes": percent * 10 * MIB,
                "memory_limit_bytes": LIMIT,
                "memory_usage_percent": percent,
                "threshold_percent": 70,
            },
        )
        for percent in (75, 72)
    ]
    assert [line["context"]["memory_usage_percent"] for line in critical] == [92, 91]
    assert critical[0]["level"] == "ERROR"
    assert critical[0]["context"]["swap_used_bytes"] == 7 * MIB


async def test_the_thresholds_can_be_moved(guarded, container) -> None:
    guard = container.holds(guarded(memory_high_percent=30, memory_critical_percent=35))
    look(guard)
    assert len(guard.lines("system.high_memory")) == len(guard.lines("system.memory_critical")) == 1


async def test_it_is_watched_from_the_first_request_on_without_any_scrape(guarded, container) -> None:
    guard = container.holds(guarded())
    container.use(95)
    await graphql(guard, "{me{id}}")
    await until(lambda: guard.lines("system.memory_critical"))
    assert len(guard.lines("system.memory_critical")) == 1
    await guard.guard.aclose()


async def test_a_machine_that_does_not_tell_changes_nothing(guarded, tmp_path) -> None:
    guard = guarded(shed_above_memory_percent=1)
    guard.guard.host.memory.read = partial(read_memory, tmp_path)
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.metric("fraiseql_guard_memory_limit_bytes") == 0


@pytest.fixture
def sheds(guarded, container):
    """A guard in a process that holds more than it may."""
    guard = container.holds(guarded(shed_above_memory_percent=95))
    container.use(96)
    look(guard)
    return guard


async def test_as_a_last_resort_queries_are_shed(sheds) -> None:
    guard = sheds
    refused = await graphql(guard, "{me{id}}")
    assert (refused.status, refused.code, refused.header("retry-after")) == (503, "MEMORY_PRESSURE", "5")
    assert (refused.extensions["limit"], refused.extensions["actual"]) == (95, 96)
    assert guard.app.bodies == []
    assert guard.metric("fraiseql_guard_refusals_total", code="MEMORY_PRESSURE", protection="rate_limit") == 1
    assert guard.metric("fraiseql_errors_total", error_code="MEMORY_PRESSURE") == 1


async def test_mutations_and_pages_are_not_shed(sheds) -> None:
    assert (await graphql(sheds, "mutation{pay{id}}")).status == 200
    assert (await request(sheds, "GET", "/page")).status == 200


async def test_shedding_ends_when_memory_is_free_again(sheds, container) -> None:
    assert (await graphql(sheds, "{me{id}}")).status == 503
    container.use(94)
    look(sheds)
    assert (await graphql(sheds, "{me{id}}")).status == 200


async def test_nothing_is_shed_unless_asked_for(guarded, container) -> None:
    guard = container.holds(guarded())
    container.use(100)
    look(guard)
    assert (await graphql(guard, "{me{id}}")).status == 200


async def test_monitor_mode_says_what_would_be_shed(guarded, container) -> None:
    guard = container.holds(guarded(shed_above_memory_percent=50, mode="monitor"))
    container.use(60)
    look(guard)
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="MEMORY_PRESSURE") == 1


async def test_a_limiter_alone_sheds_too(guarded, container) -> None:
    guard = container.holds(guarded(middleware=RateLimitMiddleware, shed_above_memory_percent=50))
    container.use(60)
    await graphql(guard, "{me{id}}")  # begins to watch
    assert (await graphql(guard, "{me{id}}")).status == 503
    await guard.guard.aclose()


# --- caches ----------------------------------------------------------------------------------------------------------


async def test_what_the_guard_remembers_is_counted_and_can_be_forgotten(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, apq=True, rate_limit_authenticated="1/hour", rate_limit_burst=0)
    look(guard)
    before = guard.metric("fraiseql_cache_size_bytes")
    assert before > 0  # the series of the metrics
    token = make_token(secret, sub="alice")
    assert [(await graphql(guard, "{me{id}}", token=token)).status for _ in range(2)] == [200, 429]
    guard.guard.recorder.flush()
    look(guard)
    held = guard.metric("fraiseql_cache_size_bytes")
    assert held > before + 1600 + 700
    cleared = guard.guard.host.caches.clear_all(pytest.fail)
    own = ("documents", "heads", "refusals", "repeats", "tokens", "trips")
    assert sorted(cleared) == [f"guard.{name}" for name in own]
    look(guard)
    assert guard.metric("fraiseql_cache_size_bytes") < held - 2000
    assert (await graphql(guard, "{me{id}}", token=token)).status == 429  # the store has not forgotten


async def test_an_app_can_add_its_own_and_a_broken_one_fails_no_scrape(guarded) -> None:
    guard = guarded()
    look(guard)
    own = guard.metric("fraiseql_cache_size_bytes")
    guard.guard.observe_cache("results", lambda: 5_000_000)
    guard.guard.observe_cache("broken", lambda: 1 // 0)
    for _ in range(3):
        body = (await request(guard, "GET", "/metrics", client=("127.0.0.1", 1))).body
    assert b"fraiseql_cache_size_bytes" in body
    assert guard.metric("fraiseql_cache_size_bytes") >= own + 5_000_000
    complaints = [line for line in guard.lines("guard.configuration") if "'broken'" in line["context"]["detail"]]
    assert len(complaints) == 1


async def test_a_guard_that_takes_over_another_keeps_its_caches(guarded) -> None:
    inner = MetricsMiddleware(EchoApp())
    inner.observe_cache("results", lambda: 5_000_000)
    outer = guarded(inner, Guard)
    inner.observe_cache("more", lambda: 2_000_000)
    look(outer)
    assert outer.metric("fraiseql_cache_size_bytes") >= 7_000_000
