"""What an app reports of its database is what an operator sees."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fraiseql_guard import DatabaseSignals, Guard, QueryTimeoutMiddleware, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request


class StoppedError(Exception):
    """As psycopg and asyncpg tell that a statement was stopped."""

    sqlstate = "57014"


def fail(signals: DatabaseSignals, statement: str, error: Exception, *, after: float) -> None:
    with signals.timed_query(statement) as timed:
        timed.timeout_seconds = after
        raise error


def states(**values: int):
    return lambda: {"active": 1, "idle": 2, "total": 10, "waiting": 3} | values


def test_pools_are_read_when_they_are_looked_at_and_added_up(guarded) -> None:
    guard = guarded()
    assert guard.metric("fraiseql_db_connections_total") == 0
    assert "fraiseql_db_connections_total" not in guard.metrics()
    guard.guard.observe_pool(states())
    guard.guard.observe_pool(states(active=4))
    values = [guard.metric(f"fraiseql_db_connections_{name}") for name in ("active", "idle", "total")]
    assert [*values, guard.metric("fraiseql_guard_db_connections_waiting")] == [5, 4, 20, 6]


async def test_the_exposition_has_the_pool_as_it_is_now(guarded) -> None:
    now = {"active": 1, "idle": 0, "total": 5}
    guard = guarded()
    guard.guard.observe_pool(lambda: now)
    now["active"] = 4
    reply = await request(guard, "GET", "/metrics", client=("127.0.0.1", 1))
    assert b"fraiseql_db_connections_active 4.0" in reply.body


def test_each_worker_sets_its_own_gauges_whichever_is_scraped(guarded) -> None:
    now = {"active": 1, "idle": 0, "total": 5}
    guard = guarded()
    guard.guard.observe_pool(lambda: now)
    now["active"] = 4
    guard.guard.runtime.publish()  # every two seconds
    assert guard.metric("fraiseql_db_connections_active") == 4


async def test_the_health_page_shows_the_pool(guarded) -> None:
    guard = guarded()
    loopback = {"content_type": None, "client": ("127.0.0.1", 1)}
    assert (await request(guard, "GET", "/health/detailed", **loopback)).json["database"] is None
    shown = guarded()
    shown.guard.observe_pool(states())
    pool = (await request(shown, "GET", "/health/detailed", **loopback)).json["database"]["pool"]
    assert pool == {"active": 1, "idle": 2, "total": 10, "waiting": 3}


def test_a_pool_that_breaks_is_a_fault_and_nothing_else(guarded) -> None:
    guard = guarded()
    guard.guard.observe_pool(lambda: 1 / 0)
    assert guard.metric("fraiseql_guard_faults_total", part="pool") >= 1
    assert guard.guard.database.pool() is None


async def test_the_pools_size_bounds_what_is_in_flight(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.2), max_in_flight=100)
    guard.guard.observe_pool(states(total=6))  # half of it for anonymous callers
    replies = await asyncio.gather(*(graphql(guard, "{users{id}}") for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 200, 200, 503, 503]


async def test_a_size_that_was_set_wins(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.2), max_in_flight=100, database_pool_size=20)
    guard.guard.observe_pool(states(total=6))
    replies = await asyncio.gather(*(graphql(guard, "{users{id}}") for _ in range(5)))
    assert {reply.status for reply in replies} == {200}


def test_a_statement_is_counted_by_type_and_table(guarded) -> None:
    guard = guarded()
    guard.guard.record_query(0.5, statement="SELECT * FROM post")
    guard.guard.record_query(0.25, query_type="insert", table_name="post")
    guard.guard.record_query(0.25, query_type="whatever", table_name="__other__")
    assert guard.metric("fraiseql_db_query_duration_seconds_sum", query_type="select", table_name="post") == 0.5
    assert guard.metric("fraiseql_db_queries_total", query_type="insert") == 1
    assert guard.metric("fraiseql_db_queries_total", query_type="other") == 1
    assert guard.metric("fraiseql_db_query_duration_seconds_count", table_name="___other__") == 1
    assert guard.lines("database.slow_query") == []


async def test_what_a_statement_is_called_may_be_found_out_later_and_breaks_nothing(guarded) -> None:
    class Odd:
        """As psycopg's Composed, and broken."""

        def __iter__(self):
            raise RuntimeError("no")

    Odd.__name__ = "Composed"
    guard = guarded()
    for statement in (Odd(), b"SELECT 1 FROM post", "DELETE FROM post", 7):
        guard.guard.record_query(0.1, statement=statement)
    values = [guard.metric("fraiseql_db_queries_total", query_type=kind) for kind in ("other", "select", "delete")]
    assert values == [2, 1, 1]
    assert guard.metric("fraiseql_guard_faults_total") == 0


def test_table_names_cannot_flood_the_metrics(guarded) -> None:
    guard = guarded()
    for number in range(500):
        guard.guard.record_query(0.1, query_type="select", table_name=f"t{number}")
    assert guard.metric("fraiseql_db_query_duration_seconds_count") == 500
    assert guard.metric("fraiseql_db_query_duration_seconds_count", table_name="__other__") > 400


async def test_a_slow_statement_is_logged_with_whose_it_is(guarded, secret) -> None:
    signals = DatabaseSignals()

    async def app(scope, receive, send) -> None:
        signals.record_query(1.5, statement="SELECT * FROM post")
        thread = threading.Thread(target=signals.record_query, args=(9.0,), kwargs={"query_type": "call"})
        thread.start()
        thread.join()
        await EchoApp()(scope, receive, send)

    guard = guarded(app, jwt_secret=secret, slow_query_seconds=1.5, database=signals)
    await graphql(guard, "query Posts{posts{id}}", token=make_token(secret, sub="ada"))
    own, of_nobody = guard.lines("database.slow_query")
    fields = {name: own["context"][name] for name in ("query_duration_ms", "query_type", "table_name", "threshold_ms")}
    assert fields == {"query_duration_ms": 1500, "query_type": "select", "table_name": "post", "threshold_ms": 1500}
    assert (own["level"], own["context"]["user_id"], own["context"]["operation"]) == ("WARNING", "ada", "Posts")
    assert own["trace_id"] == guard.lines("http.request")[0]["trace_id"]
    assert of_nobody["context"]["user_id"] is None  # a thread of its own, which knows of no request


@pytest.mark.parametrize("error", [TimeoutError(), StoppedError("canceling statement due to statement timeout")])
async def test_a_statement_that_the_database_stops_is_a_query_timeout(guarded, secret, error) -> None:
    signals = DatabaseSignals()

    async def app(scope, receive, send) -> None:
        with pytest.raises(type(error)):
            fail(signals, "SELECT * FROM post", error, after=2.0)
        await EchoApp(answer={"errors": [{"message": "stopped"}]})(scope, receive, send)

    guard = guarded(app, jwt_secret=secret, database=signals)
    await graphql(guard, "{posts{id}}", token=make_token(secret, sub="ada"))
    (line,) = guard.lines("database.query_timeout")
    assert (line["level"], line["context"]["timeout_ms"], line["context"]["table_name"]) == ("ERROR", 2000, "post")
    assert line["context"]["user_id"] == "ada"
    assert guard.metric("fraiseql_errors_total", error_code="QUERY_TIMEOUT", user_id="ada") == 1
    assert guard.metric("fraiseql_errors_total") == 1


def test_a_statement_that_is_cancelled_is_no_timeout(guarded) -> None:
    guard = guarded()
    error = StoppedError("canceling statement due to user request")
    with pytest.raises(StoppedError):
        fail(guard.guard.database, "SELECT 1 FROM t", error, after=30.0)
    assert guard.lines("database.query_timeout") == []
    assert guard.metric("fraiseql_db_queries_total", query_type="select") == 1


async def test_at_the_deadline_one_line_says_what_the_database_worked_on(guarded) -> None:
    signals = DatabaseSignals()

    async def app(scope, receive, send) -> None:
        await receive()
        with signals.timed_query("SELECT * FROM post"):
            await asyncio.sleep(30)

    guard = guarded(app, query_timeout=0.1, slow_query_seconds=0.01, database=signals)
    assert (await graphql(guard, "query Posts{posts{id}}")).status == 504
    (line,) = guard.lines("database.query_timeout")
    assert (line["context"]["query_type"], line["context"]["table_name"]) == ("select", "post")
    assert (line["context"]["operation"], line["context"]["timeout_ms"]) == ("Posts", 100)
    assert guard.lines("database.slow_query") == []  # the same statement is not told twice
    assert guard.metric("fraiseql_db_query_duration_seconds_count", table_name="post") == 1


async def test_middlewares_that_become_one_share_what_they_were_told(guarded) -> None:
    inner = RateLimitMiddleware(EchoApp())
    inner.observe_pool(states())
    guard = guarded(inner, middleware=Guard)
    inner.record_query(0.1, query_type="select")
    assert guard.metric("fraiseql_db_connections_active") == 1
    assert guard.metric("fraiseql_db_queries_total", query_type="select") == 1


async def test_one_given_outside_takes_over_from_one_inside(guarded) -> None:
    given = DatabaseSignals()
    given.observe_pool(states())
    guard = guarded(QueryTimeoutMiddleware(EchoApp()), middleware=Guard, database=given)
    assert guard.metric("fraiseql_db_connections_active") == 1


def test_told_before_any_guard_is_there_it_is_forgotten() -> None:
    signals = DatabaseSignals()
    signals.record_query(1.0, query_type="select")
    assert signals.pool() is None
    assert signals.size() is None
