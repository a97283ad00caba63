"""Apps that do not stop when they are told to: the client is answered in time wherever that is possible at all, and
what goes on all the same is counted."""

import asyncio
import threading
import time

import anyio.to_thread
import pytest

from tests.support.asgi import Connection, graphql, request

ANSWER = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
LONG = 60.0
BODY = {"type": "http.response.body", "body": b'{"data":null}'}


class Timed(Connection):
    """Notes when the answer began."""

    def __init__(self) -> None:
        super().__init__([b'{"query":"{users{id}}"}'])
        self.began_at = time.monotonic()
        self.seconds = 0.0

    async def send(self, message) -> None:
        self.seconds = self.seconds or time.monotonic() - self.began_at
        await super().send(message)


async def late(guard) -> tuple[int, float]:
    connection = Timed()
    reply = await graphql(guard, "{users{id}}", connection=connection)
    return reply.status, connection.seconds


@pytest.mark.parametrize("run", [asyncio.to_thread, anyio.to_thread.run_sync], ids=["asyncio", "anyio"])
async def test_a_blocked_thread_holds_neither_the_client_nor_the_request(guarded, run) -> None:
    """Starlette runs plain functions in anyio's threads. A thread cannot be stopped, and is not waited for."""
    over = threading.Event()

    async def app(scope, receive, send) -> None:
        await receive()
        await run(over.wait, LONG)

    guard = guarded(app, query_timeout=0.1)
    try:
        status, seconds = await late(guard)
    finally:
        over.set()
    assert status == 504
    assert seconds < LONG / 2
    assert guard.metric("fraiseql_graphql_queries_errors") == 1
    assert guard.guard.runtime.concurrency.at_work == 0


async def test_where_the_loop_was_blocked_the_client_is_answered_at_the_first_breath(guarded) -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is tested
        await asyncio.sleep(10)

    guard = guarded(app, query_timeout=0.1)
    assert (await late(guard))[0] == 504


async def test_an_answer_that_was_made_while_the_loop_was_blocked_is_not_thrown_away(guarded) -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        time.sleep(0.3)  # noqa: ASYNC251
        await send(ANSWER)
        await send(BODY)

    guard = guarded(app, query_timeout=0.1)
    assert (await late(guard))[0] == 200  # late, and complete
    assert guard.metric("fraiseql_graphql_queries_success") == 1
    assert guard.metric("fraiseql_graphql_query_duration_seconds_sum") >= 0.3  # where an operator sees it


@pytest.mark.parametrize("ending", ["answers late", "fails", "is cancelled by somebody else"])
async def test_whatever_a_stubborn_app_does_in_the_end_changes_nothing(guarded, ending) -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            if ending == "fails":
                raise LookupError("while it was stopped") from None
            if ending == "is cancelled by somebody else":
                raise asyncio.CancelledError("not ours") from None
        await send(ANSWER)
        await send(BODY)

    guard = guarded(app, query_timeout=0.1)
    assert (await late(guard))[0] == 504
    assert asyncio.current_task().cancelling() == 0
    assert (await request(guard, "GET", "/metrics", client=("127.0.0.1", 1))).status == 200
