"""Plain accounting waits for company: it is exact whenever it is read, and never waits for long."""

from __future__ import annotations

import threading

from fraiseql_guard.core.request import context_of
from fraiseql_guard.telemetry.recorder.deferred_records import MOST, DeferredRecords
from tests.support.asgi import graphql, request
from tests.support.waiting import until


def requests_counted(guard) -> float:
    """What the metrics hold, without the look itself telling anything."""
    metrics = guard.guard.runtime.recorder.metrics
    asked, metrics.before_collecting = metrics.before_collecting, lambda: None
    try:
        return guard.metric("fraiseql_http_requests_total")
    finally:
        metrics.before_collecting = asked


async def test_whoever_looks_sees_everything(guarded) -> None:
    guard = guarded()
    for _ in range(3):
        await graphql(guard, "{me{id}}")
    assert requests_counted(guard) == 0
    assert guard.metric("fraiseql_http_requests_total") == 3
    assert guard.metric("fraiseql_graphql_queries_success") == 3
    assert guard.guard.reloader.components.telemetry.traffic.seen(1).requests == 3


async def test_another_worker_sees_it_within_a_moment(guarded) -> None:
    guard = guarded()
    await request(guard, "GET", "/page")
    await until(lambda: requests_counted(guard) == 1)


async def test_under_load_it_is_told_as_it_comes(guarded) -> None:
    guard = guarded(rate_limit_default="100000/minute")
    for _ in range(MOST):
        await request(guard, "GET", "/page")
    assert requests_counted(guard) == MOST


async def test_the_end_loses_nothing(guarded) -> None:
    guard = guarded()
    await request(guard, "GET", "/page")
    await guard.guard.aclose()
    assert requests_counted(guard) == 1


async def test_refusals_and_new_tokens_do_not_wait(guarded, secret) -> None:
    from fraiseql_guard.testing import make_token

    guard = guarded(jwt_secret=secret, max_query_depth=1)
    token = make_token(secret, sub="alice")
    await graphql(guard, "{me{id}}", token=token)
    guard.guard.recorder.log.flush()
    events = [line["event"] for line in guard.written_lines()]
    assert "security.auth_success" in events
    assert "graphql.expensive_query" in events
    assert "http.request" not in events


async def test_a_body_is_not_kept(guarded) -> None:
    guard = guarded()
    await graphql(guard, "{me{id}}")
    ctx = context_of(guard.app.scopes[-1])
    assert ctx is not None
    assert ctx.body is None


async def test_nothing_is_lost_or_told_twice_by_looking_from_other_threads() -> None:
    told: list[int] = []
    faults: list[str] = []
    backlog = DeferredRecords(told.append, lambda part, error: faults.append(part))
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            backlog.flush()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20_000):
        backlog.add(number)
    stop.set()
    for thread in threads:
        thread.join()
    backlog.flush()
    assert told == list(range(20_000))
    assert not faults


def test_where_no_event_loop_is_nothing_waits() -> None:
    told: list[int] = []
    backlog = DeferredRecords(told.append, lambda part, error: None)
    backlog.add(1)
    assert told == [1]


async def test_one_record_that_breaks_keeps_no_other_from_being_told() -> None:
    told: list[int] = []
    faults: list[str] = []

    def tell(number: int) -> None:
        if number == 1:
            raise ValueError(number)
        told.append(number)

    backlog = DeferredRecords(tell, lambda part, error: faults.append(f"{part}: {error}"))
    for number in range(3):
        backlog.add(number)
    backlog.flush()
    assert (told, faults) == ([0, 2], ["settle: 1"])
