"""Streamed answers: of queries the beginning, the silences and the whole are limited, of subscriptions nothing but
the beginning."""

import asyncio
import json

import pytest

from tests.support.asgi import Connection, graphql
from tests.support.waiting import until

SSE = b"Text/Event-Stream; charset=utf-8"
MULTIPART = b'multipart/mixed; boundary="-"'
EVENT, PART = b"data: 1\n\n", b'\r\n---\r\nContent-Type: application/json\r\n\r\n{"data":1}'
LONG = 30.0
QUERY = "{users{id}}"
SUBSCRIPTION = "subscription{ticks{id}}"


class Stream:
    """Sends its head after ``before`` seconds, and then its parts after the ``pauses`` given; then ends."""

    def __init__(self, *, before: float = 0.0, pauses=(), media_type: bytes = SSE) -> None:
        self.before, self.pauses, self.media_type = before, list(pauses), media_type
        self.part = EVENT if media_type is SSE else PART
        self.stopped = 0

    async def __call__(self, scope, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(self.before)
            headers = [(b"content-type", self.media_type)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for pause in self.pauses:
                await asyncio.sleep(pause)
                await send({"type": "http.response.body", "body": self.part, "more_body": True})
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        await send({"type": "http.response.body", "body": b""})


def parts(reply) -> int:
    """How many parts have reached the client."""
    return reply.body.count(EVENT) + reply.body.count(PART)


def ends(guard) -> tuple[float, float, float]:
    """Queries that ended well, that ended badly, and that are counted as timed out."""
    return (
        guard.metric("fraiseql_graphql_queries_success"),
        guard.metric("fraiseql_graphql_queries_errors"),
        guard.metric("fraiseql_errors_total", error_code="QUERY_TIMEOUT"),
    )


@pytest.mark.parametrize("media_type", [SSE, MULTIPART])
@pytest.mark.parametrize("document", [QUERY, SUBSCRIPTION])
async def test_a_stream_that_shows_life_outlives_the_query_timeout(guarded, media_type, document) -> None:
    app = Stream(pauses=[0.08] * 6, media_type=media_type)
    guard = guarded(app, query_timeout=0.4, stream_idle_seconds=5)
    reply = await graphql(guard, document)
    assert (reply.status, parts(reply), reply.complete) == (200, 6, True)
    assert ends(guard) == (1, 0, 0)


@pytest.mark.parametrize("document", [QUERY, SUBSCRIPTION])
async def test_a_stream_that_never_begins_is_answered_like_any_late_query(guarded, document) -> None:
    app = Stream(before=LONG)
    guard = guarded(app, query_timeout=0.1, stream_idle_seconds=LONG)
    reply = await graphql(guard, document)
    assert (reply.status, reply.code) == (504, "QUERY_TIMEOUT")
    assert app.stopped == 1
    assert ends(guard) == (0, 1, 1)


@pytest.mark.parametrize("media_type", [SSE, MULTIPART])
@pytest.mark.parametrize("pauses", [[LONG], [0, 0, LONG]], ids=["at the first byte", "in the middle"])
async def test_a_querys_stream_that_stalls_is_cut_and_is_no_slow_statement(guarded, media_type, pauses) -> None:
    app = Stream(pauses=pauses, media_type=media_type)
    guard = guarded(app, query_timeout=LONG, stream_idle_seconds=0.3)
    reply = await asyncio.wait_for(graphql(guard, QUERY), LONG / 2)
    assert (reply.status, parts(reply), reply.complete) == (200, len(pauses) - 1, False)
    assert app.stopped == 1
    assert ends(guard) == (0, 1, 0)
    assert guard.metric("fraiseql_errors_total", error_code="STREAM_SILENT") == 1
    assert guard.lines("database.query_timeout") == []
    (line,) = guard.lines("guard.request_refused")
    assert (line["context"]["code"], line["context"]["limit"]) == ("STREAM_SILENT", 0.3)


async def test_the_first_part_of_a_querys_stream_comes_within_the_query_timeout(guarded) -> None:
    app = Stream(pauses=[LONG])
    guard = guarded(app, query_timeout=0.2, stream_idle_seconds=LONG)
    reply = await asyncio.wait_for(graphql(guard, QUERY), LONG / 2)
    assert (reply.status, reply.body, reply.complete) == (200, b"", False)
    assert ends(guard) == (0, 1, 1)
    assert len(guard.lines("database.query_timeout")) == 1


@pytest.mark.parametrize("document", [QUERY, "mutation{pay{id}}"])
async def test_the_whole_of_a_querys_stream_is_bounded(guarded, document) -> None:
    app = Stream(pauses=[0.02] * 1000)
    guard = guarded(app, query_timeout=0.3, stream_idle_seconds=LONG, stream_max_seconds=0.5)
    reply = await asyncio.wait_for(graphql(guard, document), LONG / 2)
    assert (reply.status, reply.complete, app.stopped) == (200, False, 1)
    assert ends(guard) == (0, 1, 0)
    assert guard.metric("fraiseql_guard_refusals_total", code="STREAM_TOO_LONG") == 1


@pytest.mark.parametrize("media_type", [SSE, b"application/json"])
@pytest.mark.parametrize(("version", "ended"), [("1.1", False), ("2", True), ("3", True)])
async def test_where_a_connection_carries_many_answers_one_that_is_cut_has_an_end(
    guarded, media_type, version, ended
) -> None:
    guard = guarded(Stream(pauses=[0, LONG], media_type=media_type), query_timeout=0.2, stream_idle_seconds=0.2)

    async def served(scope, receive, send) -> None:
        await guard({**scope, "http_version": version}, receive, send)

    reply = await asyncio.wait_for(graphql(served, QUERY), LONG / 2)
    assert (parts(reply), reply.complete) == (1, ended)
    assert guard.metric("fraiseql_graphql_queries_errors") == 1


async def test_what_the_app_itself_leaves_without_an_end_stays_so(guarded) -> None:
    async def halting(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", SSE)]})

    async def served(scope, receive, send) -> None:
        await guard({**scope, "http_version": "2"}, receive, send)

    guard = guarded(halting)
    assert not (await graphql(served, QUERY)).complete


@pytest.mark.parametrize("media_type", [SSE, MULTIPART])
async def test_a_subscription_may_be_silent_for_as_long_as_it_likes(guarded, media_type) -> None:
    app = Stream(pauses=[0, 0.5], media_type=media_type)
    guard = guarded(app, query_timeout=0.2, stream_idle_seconds=0.1, stream_max_seconds=0.1)
    reply = await asyncio.wait_for(graphql(guard, SUBSCRIPTION), LONG / 2)
    assert (parts(reply), reply.complete, app.stopped) == (2, True, 0)
    assert ends(guard) == (1, 0, 0)


async def test_a_mutations_stream_that_stalls_is_cut_too(guarded) -> None:
    guard = guarded(Stream(pauses=[0, LONG]), stream_idle_seconds=0.3)
    reply = await asyncio.wait_for(graphql(guard, "mutation{pay{id}}"), LONG / 2)
    assert (parts(reply), reply.complete) == (1, False)
    assert ends(guard) == (0, 1, 0)


async def test_monitor_mode_says_once_what_would_be_cut(guarded) -> None:
    app = Stream(pauses=[0.01, 0.3, 0.01, 0.3, 0.01])
    guard = guarded(app, stream_idle_seconds=0.1, mode="monitor")
    reply = await graphql(guard, QUERY)
    assert (parts(reply), reply.complete) == (5, True)
    assert guard.metric("fraiseql_guard_would_refuse_total", code="STREAM_SILENT") == 1
    assert ends(guard) == (1, 0, 0)


@pytest.mark.parametrize("pauses", [[LONG], [0.01] * 1000], ids=["while it is silent", "while it sends"])
@pytest.mark.parametrize(("document", "disconnects", "ended"), [(QUERY, 1, (0, 1, 0)), (SUBSCRIPTION, 0, (1, 0, 0))])
async def test_a_client_that_leaves_stops_the_streams_work(guarded, pauses, document, disconnects, ended) -> None:
    app = Stream(pauses=pauses)
    guard = guarded(app)
    body = json.dumps({"query": document}).encode()
    connection = Connection([body])
    running = asyncio.ensure_future(graphql(guard, document, connection=connection))
    await until(lambda: connection.reply.status)
    connection.leave()
    await asyncio.wait_for(running, LONG / 2)
    assert app.stopped == 1
    assert guard.metric("fraiseql_guard_disconnects_total") == disconnects
    assert ends(guard) == ended  # so a subscription ends
    assert guard.guard.runtime.concurrency.at_work == 0
