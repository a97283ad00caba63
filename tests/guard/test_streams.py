"""Streamed answers: a limit on the time to their beginning and on their silences, none on their length."""

import asyncio
import json

import pytest

from tests.support.asgi import Connection, graphql
from tests.support.waiting import until

SSE = b"Text/Event-Stream; charset=utf-8"
MULTIPART = b'multipart/mixed; boundary="-"'
LONG = 30.0


class Stream:
    """Sends its head after ``before`` seconds, and then its parts after the ``pauses`` given; then ends."""

    def __init__(self, *, before: float = 0.0, pauses=(), media_type: bytes = SSE) -> None:
        self.before, self.pauses, self.media_type = before, list(pauses), media_type
        self.stopped = 0

    async def __call__(self, scope, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(self.before)
            headers = [(b"content-type", self.media_type)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for pause in self.pauses:
                await asyncio.sleep(pause)
                await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        await send({"type": "http.response.body", "body": b""})


def ends(guard) -> tuple[float, float, float]:
    """Queries that ended well, that ended badly, and that are counted as timed out."""
    return (
        guard.metric("fraiseql_graphql_queries_success"),
        guard.metric("fraiseql_graphql_queries_errors"),
        guard.metric("fraiseql_errors_total", error_code="QUERY_TIMEOUT"),
    )


@pytest.mark.parametrize("media_type", [SSE, MULTIPART])
async def test_a_stream_that_shows_life_outlives_the_query_timeout(guarded, media_type) -> None:
    app = Stream(pauses=[0.08] * 6, media_type=media_type)
    guard = guarded(app, query_timeout=0.2, stream_idle_seconds=5)
    reply = await graphql(guard, "subscription{ticks{id}}")
    assert (reply.status, reply.body.count(b"data"), reply.complete) == (200, 6, True)
    assert ends(guard) == (1, 0, 0)


async def test_a_stream_that_never_begins_is_answered_like_any_late_query(guarded) -> None:
    app = Stream(before=LONG)
    guard = guarded(app, query_timeout=0.1, stream_idle_seconds=LONG)
    reply = await graphql(guard, "subscription{ticks{id}}")
    assert (reply.status, reply.code) == (504, "QUERY_TIMEOUT")
    assert app.stopped == 1
    assert ends(guard) == (0, 1, 1)


@pytest.mark.parametrize("media_type", [SSE, MULTIPART])
@pytest.mark.parametrize("pauses", [[LONG], [0, 0, LONG]], ids=["at the first byte", "in the middle"])
@pytest.mark.parametrize("query_timeout", [0.2, LONG], ids=["short query timeout", "long query timeout"])
async def test_a_stream_that_stalls_is_cut(guarded, media_type, pauses, query_timeout) -> None:
    app = Stream(pauses=pauses, media_type=media_type)
    guard = guarded(app, query_timeout=query_timeout, stream_idle_seconds=0.3)
    reply = await asyncio.wait_for(graphql(guard, "subscription{ticks{id}}"), LONG / 2)
    assert (reply.status, reply.body.count(b"data"), reply.complete) == (200, len(pauses) - 1, False)
    assert app.stopped == 1
    assert ends(guard) == (0, 1, 1)
    (line,) = guard.lines("database.query_timeout")
    assert (line["context"]["timeout_ms"], line["context"]["query_type"]) == (300, "subscription")


async def test_a_mutations_stream_that_stalls_is_cut_too(guarded) -> None:
    guard = guarded(Stream(pauses=[0, LONG]), stream_idle_seconds=0.3)
    reply = await asyncio.wait_for(graphql(guard, "mutation{pay{id}}"), LONG / 2)
    assert (reply.body.count(b"data"), reply.complete) == (1, False)
    assert ends(guard) == (0, 1, 1)


async def test_monitor_mode_says_once_what_would_be_cut(guarded) -> None:
    app = Stream(pauses=[0.01, 0.3, 0.01, 0.3, 0.01])
    guard = guarded(app, stream_idle_seconds=0.1, mode="monitor")
    reply = await graphql(guard, "subscription{ticks{id}}")
    assert (reply.body.count(b"data"), reply.complete) == (5, True)
    assert guard.metric("fraiseql_guard_would_refuse_total", code="QUERY_TIMEOUT") == 1
    assert ends(guard) == (1, 0, 0)


@pytest.mark.parametrize("pauses", [[LONG], [0.01] * 1000], ids=["while it is silent", "while it sends"])
async def test_a_client_that_leaves_stops_the_streams_work(guarded, pauses) -> None:
    app = Stream(pauses=pauses)
    guard = guarded(app)
    body = json.dumps({"query": "subscription{ticks{id}}"}).encode()
    connection = Connection([body])
    running = asyncio.ensure_future(graphql(guard, "subscription{ticks{id}}", connection=connection))
    await until(lambda: connection.reply.status)
    connection.leave()
    await asyncio.wait_for(running, LONG / 2)
    assert app.stopped == 1
    assert guard.metric("fraiseql_guard_disconnects_total") == 1
    assert ends(guard) == (0, 1, 0)
    assert guard.guard.runtime.concurrency.at_work == 0
