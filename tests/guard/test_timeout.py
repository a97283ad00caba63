"""The deadline: the client is answered, the work is stopped, no other request is touched."""

import asyncio
import json

import pytest

from fraiseql_guard import guard_deadline
from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.waiting import PATIENCE_SECONDS, until


async def test_at_the_deadline_the_client_is_answered_and_the_work_is_stopped(guarded) -> None:
    app = EchoApp(seconds=30)
    guard = guarded(app, query_timeout=0.1)
    reply = await graphql(guard, "query Slow{users{id}}")
    assert (reply.status, reply.code, reply.extensions["limit"]) == (504, "QUERY_TIMEOUT", 0.1)
    assert (app.stopped, app.finished) == (1, 0)
    assert asyncio.current_task().cancelling() == 0


async def test_a_query_that_is_stopped_at_the_deadline_is_counted_and_told(guarded) -> None:
    guard = guarded(EchoApp(seconds=30), query_timeout=0.1)
    await graphql(guard, "query Slow{users{id}}")
    assert guard.metric("fraiseql_errors_total", error_code="QUERY_TIMEOUT", user_id="anonymous") == 1
    assert guard.metric("fraiseql_graphql_queries_errors") == 1
    assert guard.metric("fraiseql_graphql_queries_success") == 0
    (line,) = guard.lines("database.query_timeout")
    assert (line["level"], line["context"]["timeout_ms"], line["context"]["query_type"]) == ("ERROR", 100, "query")
    assert line["context"]["operation"] == "Slow"


async def test_a_quick_query_is_answered_untouched(guarded) -> None:
    guard = guarded(EchoApp(seconds=0.12), query_timeout=5)  # longer than it takes until the watcher starts
    assert (await graphql(guard, "{users{id}}")).status == 200
    assert guard.metric("fraiseql_graphql_queries_success") == 1


async def test_a_mutation_that_is_late_has_an_unknown_outcome(guarded) -> None:
    guard = guarded(EchoApp(seconds=30), query_timeout=30, mutation_timeout=0.05)
    reply = await graphql(guard, "mutation{pay{id}}")
    assert (reply.status, reply.extensions["outcome"]) == (504, "unknown")


async def test_an_app_that_ignores_its_cancellation_does_not_keep_the_client_waiting(guarded) -> None:
    answered = asyncio.Event()

    async def stubborn(scope, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await answered.wait()
            await asyncio.sleep(1.2)  # longer than an app may take to end
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    class Answered(Connection):
        async def send(self, message) -> None:
            await super().send(message)
            if self.reply.complete:
                answered.set()

    guard = guarded(stubborn, query_timeout=0.05)
    reply = await graphql(guard, "{users{id}}", connection=Answered([b'{"query":"{users{id}}"}']))
    assert (reply.status, reply.complete) == (504, True)
    assert guard.metric("fraiseql_guard_abandoned_total") == 1


async def test_an_answer_that_has_begun_is_cut_not_appended_to(guarded) -> None:
    async def halting(scope, receive, send) -> None:
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"data"', "more_body": True})
        await asyncio.sleep(30)

    guard = guarded(halting, query_timeout=0.05)
    reply = await graphql(guard, "{users{id}}")
    assert (reply.status, reply.body, reply.complete) == (200, b'{"data"', False)
    assert guard.metric("fraiseql_graphql_queries_errors") == 1


@pytest.mark.parametrize(
    ("query", "options", "stopped"),
    [
        ("{users{id}}", {}, True),
        ("mutation{pay{id}}", {}, False),
        ("mutation{pay{id}}", {"cancel_mutations": True}, True),
    ],
)
async def test_a_client_that_leaves_stops_its_query_and_not_its_mutation(guarded, query, options, stopped) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, **options)
    connection = Connection([json.dumps({"query": query}).encode()])
    running = asyncio.ensure_future(request(guard, connection=connection, chunks=[b""], content_type=None,
                                            headers={"content-type": "application/json"}))  # fmt: skip
    await until(lambda: app.at_work)
    connection.leave()
    if not stopped:
        await asyncio.sleep(0.15)  # time enough to hear of it
        app.release()
    await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert (app.stopped, app.finished) == ((1, 0) if stopped else (0, 1))
    assert guard.metric("fraiseql_graphql_queries_errors") == (1 if stopped else 0)
    assert guard.metric("fraiseql_guard_disconnects_total") == (1 if stopped else 0)


async def test_background_tasks_after_the_answer_live_on(guarded) -> None:
    done = asyncio.Event()

    async def with_background_task(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"data":null}'})
        await asyncio.sleep(0.3)
        done.set()

    guard = guarded(with_background_task, query_timeout=0.1)
    connection = Connection([b'{"query":"{users{id}}"}'])
    running = asyncio.ensure_future(graphql(guard, "{users{id}}", connection=connection))
    await asyncio.sleep(0.05)
    connection.leave()
    reply = await running
    assert (reply.status, done.is_set()) == (200, True)
    assert guard.metric("fraiseql_graphql_queries_success") == 1


async def test_a_stream_has_a_limit_on_silence_instead(guarded) -> None:
    async def streaming(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for _ in range(4):
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(0.1)
        await asyncio.sleep(30)

    guard = guarded(streaming, query_timeout=0.15, stream_idle_seconds=1.5)
    reply = await graphql(guard, "{users{id}}")
    assert (reply.body.count(b"data"), reply.complete) == (4, False)


async def test_elsewhere_there_is_a_deadline_only_if_one_is_set(guarded) -> None:
    assert (await request(guarded(EchoApp(seconds=0.2), query_timeout=0.05), "GET", "/page")).status == 200
    late = await request(guarded(EchoApp(seconds=30), request_timeout=0.05), "GET", "/page")
    assert (late.status, late.json["code"]) == (504, "QUERY_TIMEOUT")


async def test_the_servers_own_cancellation_is_passed_on(guarded) -> None:
    guard = guarded(EchoApp(seconds=30))
    running = asyncio.ensure_future(graphql(guard, "{users{id}}"))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_apps_own_failure_is_passed_on_and_counted(guarded) -> None:
    async def broken(scope, receive, send) -> None:
        raise LookupError("the app's own")

    guard = guarded(broken)
    with pytest.raises(LookupError):
        await graphql(guard, "{users{id}}")
    assert guard.metric("fraiseql_graphql_queries_errors") == 1
    assert guard.metric("fraiseql_http_requests_total", status="500", endpoint="/graphql") == 1
    assert guard.metric("fraiseql_errors_total", error_code="INTERNAL_SERVER_ERROR") == 1


@pytest.mark.parametrize(
    ("answer", "status", "errors"),
    [
        ({"data": {"a": 1}}, 200, 0),
        ({"data": None, "errors": [{"message": "no"}]}, 200, 1),
        ({"data": {"errors": [1]}}, 200, 0),
        ({"data": {"a": 1}, "errors": []}, 200, 0),
        ({"data": {"a": 1}}, 500, 1),
        ([{"data": 1}, {"errors": [{"message": "no"}]}], 200, 1),
        ({"errors": [{"message": "no"}], "data": "x" * 200_000}, 200, 1),
        ({"data": "x" * 200_000, "errors": [{"message": "no"}]}, 200, 0),
        ({"data": "x" * 200_000}, 200, 0),
    ],
)
async def test_each_query_ends_in_exactly_one_of_success_and_errors(guarded, answer, status, errors) -> None:
    guard = guarded(EchoApp(answer=answer, status=status))
    await graphql(guard, "{users{id}}")
    assert guard.metric("fraiseql_graphql_queries_errors") == errors
    assert guard.metric("fraiseql_graphql_queries_success") == 1 - errors


async def test_a_client_that_leaves_with_its_refusal_is_no_disconnect_and_the_app_is_not_abandoned(guarded) -> None:
    async def slow_to_end(scope, receive, send) -> None:
        await receive()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)

    class Leaving(Connection):
        async def send(self, message) -> None:
            await super().send(message)
            if self.reply.complete:
                self.leave()

    guard = guarded(slow_to_end, query_timeout=0.1)
    reply = await graphql(guard, "{users{id}}", connection=Leaving([b'{"query":"{users{id}}"}']))
    await asyncio.sleep(1.2)  # longer than an app may take to end
    assert (reply.status, reply.complete) == (504, True)
    assert guard.metric("fraiseql_guard_abandoned_total") == 0
    assert guard.metric("fraiseql_guard_disconnects_total") == 0


@pytest.mark.parametrize(("options", "bounds"), [({}, (200, 300)), ({"mode_timeout": "monitor"}, None)])
async def test_the_app_is_told_how_much_time_is_left(guarded, options, bounds) -> None:
    seen: list[float | None] = []

    async def app(scope, receive, send) -> None:
        await receive()
        seen.append(guard_deadline(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        seen.append(guard_deadline(scope))  # a background task

    await graphql(guarded(app, query_timeout=300, **options), "{users{id}}")
    assert seen[1] is None
    assert seen[0] is None if bounds is None else bounds[0] < seen[0] <= bounds[1]


async def test_without_a_guard_there_is_no_deadline() -> None:
    assert guard_deadline({"type": "http"}) is None


async def deadlines_of(guarded, document: str, **options) -> list[float | None]:
    """What an app is told that streams its answer: behind the head of it, and behind the first event."""
    seen: list[float | None] = []

    async def streaming(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        seen.append(guard_deadline(scope))
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        seen.append(guard_deadline(scope))
        await send({"type": "http.response.body", "body": b"data: 2\n\n"})

    await graphql(guarded(streaming, query_timeout=100, **options), document)
    return seen


@pytest.mark.parametrize(("whole", "left"), [(10_000, 500), (300, 300)])
async def test_a_querys_stream_has_its_idle_time_left_and_never_more_than_its_whole_time(guarded, whole, left) -> None:
    before, after = await deadlines_of(guarded, "{users{id}}", stream_idle_seconds=500, stream_max_seconds=whole)
    assert 50 < before <= 100
    assert left - 50 < after <= left


async def test_a_subscription_has_no_deadline_once_it_has_begun(guarded) -> None:
    assert await deadlines_of(guarded, "subscription{ticks{id}}", stream_idle_seconds=1) == [None, None]
