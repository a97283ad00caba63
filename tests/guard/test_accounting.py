"""Whatever becomes of a request, its numbers are right: bytes both ways, what is at work, one end for each query."""

import asyncio
import json

import pytest

from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.waiting import until

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
QUERY = json.dumps({"query": "{me{id}}"}).encode()
ANSWER = b'{"data": {"ok": true}}'


def sizes(guard) -> tuple[float, float, float]:
    """Requests observed, bytes of their bodies, bytes of their answers."""
    return (
        guard.metric("fraiseql_http_response_size_bytes_count"),
        guard.metric("fraiseql_http_request_size_bytes_sum"),
        guard.metric("fraiseql_http_response_size_bytes_sum"),
    )


def queries(guard) -> tuple[float, float, float]:
    return tuple(guard.metric(f"fraiseql_graphql_queries_{kind}") for kind in ("total", "success", "errors"))


def sending(*chunks: bytes, then: float = 0.0):
    async def app(scope, receive, send) -> None:
        await receive()
        await send(HEAD)
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(then)
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_an_ordinary_query(guarded) -> None:
    guard = guarded()
    await request(guard, body=QUERY)
    assert (sizes(guard), queries(guard)) == ((1, len(QUERY), len(ANSWER)), (1, 1, 0))


async def test_a_body_and_an_answer_in_parts_are_added_up(guarded) -> None:
    guard = guarded(sending(b"data: 1\n\n", b"data: 22\n\n"))
    await request(guard, chunks=[QUERY[:5], QUERY[5:]])
    assert (sizes(guard), queries(guard)) == ((1, len(QUERY), 19), (1, 1, 0))


async def test_what_was_sent_before_the_cut_counts(guarded) -> None:
    guard = guarded(sending(b"data: 1\n\n", then=30), stream_idle_seconds=0.3)
    await request(guard, body=QUERY)
    assert (sizes(guard), queries(guard)) == ((1, len(QUERY), 9), (1, 0, 1))


async def test_a_refusal_has_a_size_and_is_no_query(guarded) -> None:
    guard = guarded(max_query_depth=1)
    reply = await request(guard, body=QUERY)
    assert reply.status == 400
    assert (sizes(guard), queries(guard)) == ((1, len(QUERY), len(reply.body)), (0, 0, 0))


async def test_a_timeout_is_an_answer_of_ours(guarded) -> None:
    guard = guarded(EchoApp(seconds=30), query_timeout=0.05)
    reply = await request(guard, body=QUERY)
    assert (sizes(guard), queries(guard)) == ((1, len(QUERY), len(reply.body)), (1, 0, 1))


async def test_a_client_that_leaves_before_the_answer_was_not_answered(guarded) -> None:
    app = EchoApp(seconds=30)
    guard = guarded(app)
    connection = Connection([QUERY])
    running = asyncio.ensure_future(graphql(guard, "{me{id}}", connection=connection))
    await until(lambda: app.at_work)
    connection.leave()
    await running
    assert (sizes(guard), queries(guard)) == ((0, 0, 0), (1, 0, 1))
    assert guard.metric("fraiseql_http_requests_total") == 0


async def test_a_batch_is_one_query_with_the_points_of_all(guarded) -> None:
    guard = guarded(batching=True)
    single = guarded()
    await graphql(single, "{me{id}}")
    await request(guard, body=b"[" + b",".join([QUERY] * 3) + b"]")
    assert queries(guard) == (1, 1, 0)
    points = "fraiseql_graphql_query_complexity_total"
    assert guard.metric(points) == 3 * single.metric(points) > 0


@pytest.mark.parametrize("path", ["/page", "/graphql"])
async def test_head_has_no_body_whatever_the_app_sends(guarded, path) -> None:
    guard = guarded(max_query_depth=1)
    query = b"query=%7Bme%7Bid%7D%7D" if path == "/graphql" else b""
    assert (await request(guard, "HEAD", path, query=query)).status == (400 if query else 200)
    assert sizes(guard) == (1, 0, 0)


async def test_what_is_at_work_is_shown_while_it_is(guarded) -> None:
    app = EchoApp(held=True)
    guard = guarded(app)
    running = asyncio.gather(*(graphql(guard, "{me{id}}") for _ in range(3)), request(guard, "GET", "/page"))
    await until(lambda: app.at_work == 4)
    for at_work in (3, 0):
        body = (await request(guard, "GET", "/metrics", client=("127.0.0.1", 1))).body.decode()
        assert f"fraiseql_guard_in_flight {at_work}.0\n" in body
        assert "fraiseql_guard_buffered_body_bytes 0.0\n" in body or at_work
        total, success, errors = queries(guard)
        assert total - success - errors == at_work  # how the runbook counts it
        app.release()
        await running


async def test_what_waits_for_its_body_is_not_at_work_yet(guarded) -> None:
    guard = guarded()
    connection = Connection([QUERY[:5]])
    connection.messages[0]["more_body"] = True
    running = asyncio.ensure_future(graphql(guard, "{me{id}}", connection=connection))
    await until(lambda: guard.guard.runtime.budget.used == 5)
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_in_flight") == 0
    assert guard.metric("fraiseql_guard_buffered_body_bytes") == 5
    connection.leave()
    await running
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_buffered_body_bytes") == 0
