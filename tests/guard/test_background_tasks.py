"""A request ends with the last message of its answer: what the app does afterwards holds nothing, nor counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.asgi import EchoApp, graphql, request
from tests.support.waiting import until


class Lingering(EchoApp):
    """An app that works on after its answer, until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = 0
        self.end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)
        self.behind += 1
        await self.end.wait()
        self.behind -= 1


async def answered(guard: Any, count: int, *more: Any, **caller: Any) -> list[asyncio.Task[Any]]:
    """Requests that were answered while the app is still at work for them."""
    app, before = guard.app, guard.app.behind
    ask = request(guard, *more, **caller) if more else None
    running = [asyncio.ensure_future(ask or graphql(guard, "{me{id}}", **caller))]
    running += [asyncio.ensure_future(graphql(guard, "{me{id}}", **caller)) for _ in range(count - 1)]
    await until(lambda: app.behind == before + count or any(each.done() for each in running))
    return running


async def test_slots_are_free_again_while_background_tasks_run(guarded) -> None:
    guard = guarded(Lingering(), max_in_flight=2, database_pool_size=4)
    running = []
    for _ in range(6):
        running += await answered(guard, 1)
    assert guard.app.behind == 6
    assert guard.guard.runtime.concurrency.at_work == 0
    guard.app.end.set()
    assert {reply.status for reply in await asyncio.gather(*running)} == {200}
    assert not guard.guard.reloader.components.at_work.operations


@pytest.mark.parametrize("kind", ["graphql", "a page", "a known page"])
async def test_the_request_is_counted_with_its_answer(guarded, kind) -> None:
    guard = guarded(Lingering(), rate_limit_default="1000/minute")
    page = ("GET", "/page") if kind != "graphql" else ()
    guard.app.end.set()
    for _ in range(3 if kind == "a known page" else 0):
        await request(guard, *page)
    guard.app.end.clear()
    before = guard.metric("fraiseql_http_requests_total")
    running = await answered(guard, 1, *page)
    assert guard.metric("fraiseql_http_requests_total") == before + 1
    assert len(guard.lines("http.request")) == before + 1
    guard.app.end.set()
    await asyncio.gather(*running)
    assert guard.metric("fraiseql_http_requests_total") == before + 1
    assert len(guard.lines("http.request")) == before + 1
    assert guard.metric("fraiseql_graphql_queries_success") == (1 if kind == "graphql" else 0)


@pytest.mark.parametrize("path", ["/graphql", "/page"])
async def test_its_duration_and_time_are_those_of_the_answer(guarded, path) -> None:
    guard = guarded(Lingering())
    running = await answered(guard, 1, "POST", path, body=b'{"query":"{me{id}}"}')
    ended_by = datetime.now(UTC).timestamp()
    await asyncio.sleep(0.5)  # lines are written later, many at a time; and the app is at work all the while
    guard.app.end.set()
    await asyncio.gather(*running)
    (line,) = guard.lines("http.request")
    assert datetime.fromisoformat(line["timestamp"]).timestamp() <= ended_by
    assert line["context"]["duration_ms"] < 500
    assert guard.metric("fraiseql_response_time_seconds_sum") < 0.5
    assert guard.metric("fraiseql_graphql_query_duration_seconds_sum") < 0.5


async def test_an_app_that_works_on_after_its_time_keeps_its_slot(guarded) -> None:
    """It was answered in its place, and is still at work: more of its like are not let in."""
    stop = asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    guard = guarded(stubborn, max_in_flight=1, query_timeout=0.05)
    connection_reply = asyncio.ensure_future(graphql(guard, "{me{id}}"))
    await until(lambda: guard.metric("fraiseql_http_requests_total", status="504") == 1)
    assert (await graphql(guard, "{me{id}}")).code == "CONCURRENCY_LIMIT"
    stop.set()
    assert (await connection_reply).status == 504
    assert guard.metric("fraiseql_http_requests_total", status="504") == 1
    assert guard.guard.runtime.concurrency.at_work == 0


async def test_what_an_app_raises_after_its_answer_changes_nothing_about_it(guarded) -> None:
    class Failing(EchoApp):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            raise LookupError("in the background")

    guard = guarded(Failing())
    for path in ("/graphql", "/page"):
        with pytest.raises(LookupError):
            await request(guard, "POST", path, body=b'{"query":"{me{id}}"}')
    assert guard.metric("fraiseql_http_requests_total", status="200") == 2
    assert guard.metric("fraiseql_graphql_queries_success") == 1
    assert guard.metric("fraiseql_errors_total") == 0


async def test_logins_are_free_again_with_the_answer(guarded) -> None:
    locked: list[Any] = []

    class Login(Lingering):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            locked.append(await guard.guard.login_locked("alice", scope))
            await super().__call__(scope, receive, send)

    guard = guarded(Login(), lockout_offences=2, rate_limit_default="1000/minute")
    running = []
    for _ in range(5):
        running += await answered(guard, 1, "POST", "/login")
    assert locked == [None] * 5
    guard.app.end.set()
    await asyncio.gather(*running)
