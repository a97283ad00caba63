"""Subscriptions over server-sent events and multipart: what they take, what they count for, and how they end."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER, SHUT_DOWN, TOKEN_OVER, USER_GONE
from fraiseql_guard.core.signals import ClosingReason
from fraiseql_guard.testing import make_token
from tests.conftest import Guarded
from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.waiting import PATIENCE_SECONDS, until

SUBSCRIPTION = "subscription Ticks{ticks{id}}"
EVENT = b'event: next\ndata: {"data":{"ticks":{"id":1}}}\n\n'
PART = b'\r\n--graphql\r\nContent-Type: application/json\r\n\r\n{"payload":{"data":1}}'
SSE = b"text/event-stream"
MULTIPART = b"multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
TRANSPORTS = pytest.mark.parametrize(
    ("media_type", "event", "transport"), [(SSE, EVENT, "sse"), (MULTIPART, PART, "multipart")]
)


class Feed:
    """Streams what a test says: the head at once, then each chunk that is put. None ends an answer. Other operations
    are answered like EchoApp does."""

    def __init__(self, media_type: bytes = SSE) -> None:
        self.media_type = media_type
        self.open: list[asyncio.Queue[bytes | None]] = []
        self.stopped = 0
        self.echo = EchoApp()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"") if scope["type"] == "http" else b""
        if b"subscription" not in body and b"@defer" not in body:
            await self.echo(scope, _of(body), send)
            return
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open.append(chunks)
        try:
            head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", self.media_type)]}
            await send(head)
            while (chunk := await chunks.get()) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.open.remove(chunks)

    def emit(self, chunk: bytes | None) -> None:
        for chunks in self.open:
            chunks.put_nowait(chunk)


def _of(body: bytes) -> Any:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class Client:
    """One request that is at work, and what has come of its answer."""

    def __init__(self, guard: Guarded, query: str = SUBSCRIPTION, connection: Connection | None = None, **more: Any):
        body = json.dumps({"query": query}).encode()
        self.connection = connection or Connection([body])
        self.task = asyncio.ensure_future(request(guard, body=body, connection=self.connection, **more))

    @property
    def reply(self) -> Any:
        return self.connection.reply

    async def ended(self) -> Any:
        return await asyncio.wait_for(self.task, PATIENCE_SECONDS)

    async def leave(self) -> None:
        self.connection.leave()
        await self.ended()


async def subscribed(guard: Guarded, count: int, event: bytes | None = EVENT, **more: Any) -> list[Client]:
    """So many clients whose subscriptions are open; each has had its first event, unless there is none."""
    before = len(guard.app.open)
    clients = [Client(guard, client=(f"198.51.100.{n + 1}", 1), **more) for n in range(count)]
    await until(lambda: len(guard.app.open) == before + count)
    if event is not None:
        guard.app.emit(event)
        await until(lambda: all(event in client.reply.body for client in clients))
    return clients


def live(guard: Guarded) -> list[Any]:
    return list(guard.guard.runtime.live)


# --- what they take --------------------------------------------------------------------------------------------------


@TRANSPORTS
async def test_open_subscriptions_take_no_place_of_a_callers_queries(guarded, media_type, event, transport) -> None:
    guard = guarded(Feed(media_type))
    clients = [Client(guard) for _ in range(10)]
    await until(lambda: len(guard.app.open) == 10)
    guard.app.emit(event)
    await until(lambda: all(client.reply.body for client in clients))
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.guard.runtime.concurrency.at_work == 0
    assert guard.guard.runtime.subscription_room.open_subscriptions == 10
    for client in clients:
        await client.leave()
    assert guard.guard.runtime.subscription_room.open_subscriptions == 0


async def waiting(guard: Guarded, count: int) -> None:
    """Until so many subscriptions are open, or wait for a place to begin with."""
    await until(lambda: guard.guard.runtime.subscription_room.open_subscriptions == count)


@pytest.mark.parametrize("options", [{"max_in_flight": 1}, {"database_pool_size": 4, "max_in_flight": 100}])
async def test_silent_subscriptions_that_begin_at_once_wait_for_each_other(guarded, options) -> None:
    guard = guarded(Feed(), **options)
    clients = [Client(guard) for _ in range(5)]
    await waiting(guard, 5)
    assert len(guard.app.open) < 5
    await until(lambda: len(guard.app.open) == 5)
    assert guard.metric("fraiseql_guard_refusals_total") == 0
    for client in clients:
        await client.leave()
    assert guard.guard.runtime.concurrency.at_work == 0


async def test_a_subscription_waits_for_nothing_that_takes_longer(guarded) -> None:
    guard = guarded(Feed(), max_in_flight=1)
    guard.app.echo = EchoApp(held=True)
    query = asyncio.ensure_future(graphql(guard, "{me{id}}"))
    await until(lambda: guard.app.echo.at_work == 1)
    reply = await Client(guard).ended()
    assert (reply.status, reply.code) == (429, "CONCURRENCY_LIMIT")
    assert guard.guard.runtime.subscription_room.open_subscriptions == 0
    guard.app.echo.release()
    assert (await query).status == 200


async def test_those_who_wait_are_bounded_as_those_who_subscribe(guarded) -> None:
    guard = guarded(Feed(), max_in_flight=1, max_subscriptions_per_caller=2)
    clients = [Client(guard) for _ in range(2)]
    await waiting(guard, 2)
    assert len(guard.app.open) < 2
    assert (await Client(guard).ended()).code == "TOO_MANY_SUBSCRIPTIONS"
    await until(lambda: len(guard.app.open) == 2)
    for client in clients:
        await client.leave()


async def test_a_client_may_leave_while_its_subscription_waits(guarded) -> None:
    guard = guarded(Feed(), max_in_flight=1)
    first = Client(guard)
    await until(lambda: len(guard.app.open) == 1)
    second = Client(guard)
    await waiting(guard, 2)
    await second.leave()
    assert len(guard.app.open) == 1
    assert guard.guard.runtime.subscription_room.open_subscriptions == 1
    await first.leave()


def caches_of(runtime: Any) -> tuple[Any, ...]:
    return runtime.head_cache, runtime.admission, runtime.reader


async def test_an_open_subscription_keeps_no_former_caches_alive(guarded) -> None:
    """A fleet that changes a limit every minute fills one set of caches, not one for each stream of the day."""
    guard = guarded(Feed())
    empty = [each.size_bytes for each in caches_of(guard.guard.runtime)]
    (client,) = await subscribed(guard, 1)
    assert (await graphql(guard, "{me{id}}")).status == 200
    former = guard.guard.runtime
    assert all(each.size_bytes > before for each, before in zip(caches_of(former), empty, strict=True))
    await guard.guard.operator.switch("setting", "FRAISEQL_GUARD_MAX_SOCKETS", "7", duration_seconds=60)
    await guard.heard()
    assert guard.guard.runtime is not former
    assert [each.size_bytes for each in caches_of(former)] == empty
    await client.leave()


async def test_a_subscription_is_at_work_for_a_second_at_most_before_its_first_event(guarded) -> None:
    guard = guarded(Feed(), max_in_flight=1)
    (client,) = await subscribed(guard, 1, event=None)
    caller = {"client": ("198.51.100.1", 1)}
    assert (await graphql(guard, "{me{id}}", **caller)).code == "CONCURRENCY_LIMIT"
    await until(lambda: guard.guard.runtime.concurrency.at_work == 0)
    assert (await graphql(guard, "{me{id}}", **caller)).status == 200
    await client.leave()
    assert not guard.guard.reloader.components.at_work.operations


async def test_anonymous_streams_leave_the_pool_to_queries(guarded, secret) -> None:
    guard = guarded(Feed(), jwt_secret=secret, auth_required=False, database_pool_size=10)
    clients = []
    for number in range(20):  # each has begun before the next comes
        clients += await subscribed(guard, 1)
        assert len(guard.app.open) == number + 1
    assert (await graphql(guard, "{me{id}}", client=("203.0.113.1", 1))).status == 200
    for client in clients:
        await client.leave()


async def test_a_query_that_streams_is_at_work_to_its_end(guarded) -> None:
    guard = guarded(Feed(), max_in_flight=1)
    client = Client(guard, "{me{...@defer{id}}}")
    await until(lambda: guard.app.open)
    guard.app.emit(EVENT)
    await until(lambda: client.reply.body)
    assert (await graphql(guard, "{me{id}}")).code == "CONCURRENCY_LIMIT"
    guard.app.emit(None)
    await client.ended()
    assert (await graphql(guard, "{me{id}}")).status == 200


async def test_a_subscription_that_is_answered_at_once_is_at_work_to_its_end(guarded) -> None:
    app = EchoApp(held=True)
    guard = guarded(app, max_in_flight=1, query_timeout=30)
    client = Client(guard)
    await until(lambda: app.at_work)
    await asyncio.sleep(1.2)  # longer than a subscription is at work
    assert (await graphql(guard, "{me{id}}")).code == "CONCURRENCY_LIMIT"
    app.release()
    assert (await client.ended()).status == 200
    assert not guard.guard.reloader.components.at_work.subscriptions


@pytest.mark.parametrize(
    ("options", "code", "status", "limit"),
    [
        ({"max_subscriptions_per_caller": 2}, "TOO_MANY_SUBSCRIPTIONS", 429, 2),
        ({"max_subscriptions": 4}, "SUBSCRIPTIONS_FULL", 503, 2),  # half for the anonymous
    ],
)
async def test_a_subscription_above_the_caps_is_refused_and_the_others_go_on(
    guarded, options, code, status, limit
) -> None:
    guard = guarded(Feed(), **options)
    clients = [Client(guard) for _ in range(2)]
    await until(lambda: len(guard.app.open) == 2)
    refused = await graphql(guard, SUBSCRIPTION, headers={"accept": "text/event-stream"})
    assert (refused.status, refused.code, refused.extensions["limit"]) == (status, code, limit)
    assert refused.header("retry-after") == "1"
    assert (await graphql(guard, "{me{id}}")).status == 200
    await clients[0].leave()
    again = Client(guard)
    await until(lambda: len(guard.app.open) == 2)
    for client in (clients[1], again):
        await client.leave()
    assert not guard.guard.reloader.components.at_work.subscriptions


async def test_an_open_stream_holds_no_memory_for_its_body(guarded) -> None:
    guard = guarded(Feed())
    (client,) = await subscribed(guard, 1)
    assert guard.guard.runtime.budget.used == 0
    await client.leave()


@pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, application/json;q=0.5"])
async def test_a_stream_of_a_mixed_document_is_refused(guarded, accept) -> None:
    guard = guarded()
    body = json.dumps({"query": "query A{me{id}} subscription B{ticks{id}}", "operationName": "B"}).encode()
    reply = await request(guard, body=body, headers={"accept": accept})
    assert b'"GRAPHQL_INVALID"' in reply.body
    assert b"send the operation alone" in reply.body
    assert guard.app.bodies == []
    assert (await request(guard, body=body, headers={"accept": "application/json"})).status == 200


# --- what they count for ---------------------------------------------------------------------------------------------


@TRANSPORTS
async def test_the_life_of_a_subscription_is_no_duration(guarded, media_type, event, transport) -> None:
    guard = guarded(Feed(media_type), access_log="all")
    clients = await subscribed(guard, 2, event)
    (silent,) = await subscribed(guard, 1, event=None)
    guard.guard.runtime.publish()
    assert guard.metric("fraiseql_guard_subscriptions", transport=transport) == 3
    await asyncio.sleep(0.6)
    guard.app.emit(event)
    await until(lambda: all(client.reply.body.count(event) == 2 for client in clients))
    for client in (*clients, silent):
        await client.leave()
    guard.guard.runtime.publish()
    lives = guard.metric("fraiseql_guard_subscription_seconds_sum")
    assert lives >= 1.8
    for name in ("fraiseql_response_time_seconds", "fraiseql_graphql_query_duration_seconds"):
        assert guard.metric(f"{name}_count") == 3
        assert guard.metric(f"{name}_sum") < lives
    assert sum(line["context"]["duration_ms"] for line in guard.lines("http.request")) < lives * 1000
    assert guard.metric("fraiseql_guard_subscriptions", transport=transport) == 0
    assert guard.metric("fraiseql_guard_subscription_events_total") == 5
    assert guard.metric("fraiseql_guard_subscription_seconds_count") == 3
    ended = [line["context"] for line in guard.lines("guard.subscription_ended")]
    assert [(each["reason"], each["transport"], each["events"]) for each in ended] == [
        ("client", transport, 2), ("client", transport, 2), ("client", transport, 1),
    ]  # fmt: skip


async def test_heartbeats_and_the_end_are_no_events(guarded) -> None:
    guard = guarded(Feed())
    (client,) = await subscribed(guard, 1, b": ping\r\n\r\n")
    guard.app.emit(b"event: next\r\n")
    guard.app.emit(b"data: {}\r\n\r\nevent: complete\r\ndata: \r\n\r\n")
    guard.app.emit(None)
    await client.ended()
    assert guard.metric("fraiseql_guard_subscription_events_total") == 1
    assert guard.metric("fraiseql_graphql_queries_success") == 1


async def test_events_elsewhere_are_no_duration_either(guarded) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", SSE)]})
        began_at = time.monotonic()
        await asyncio.sleep(0.6)
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})
        lives.append(time.monotonic() - began_at)

    lives: list[float] = []
    guard = guarded(page)
    await request(guard, "GET", "/events")
    assert guard.metric("fraiseql_response_time_seconds_sum") < sum(lives)


# --- silence ---------------------------------------------------------------------------------------------------------


@TRANSPORTS
async def test_a_silent_subscription_shows_life(guarded, media_type, event, transport) -> None:
    guard = guarded(Feed(media_type), stream_heartbeat_seconds=0.05, stream_idle_seconds=0.1)
    (client,) = await subscribed(guard, 1, event)
    beat = b":\n\n" if transport == "sse" else b"\r\n\r\n{}"
    await until(lambda: client.reply.body.count(beat) >= 5)
    guard.app.emit(event)
    await until(lambda: client.reply.body.count(event) == 2)
    assert client.reply.body.replace(b":\n\n", b"").startswith(event)
    await client.leave()


async def test_inside_of_an_event_nothing_is_said(guarded) -> None:
    guard = guarded(Feed(), stream_heartbeat_seconds=0.03)
    (client,) = await subscribed(guard, 1, b"event: next\ndata: {")
    await asyncio.sleep(0.2)
    guard.app.emit(b"}\n\n")
    await until(lambda: client.reply.body.endswith(b":\n\n"))
    assert client.reply.body.startswith(b"event: next\ndata: {}\n\n:")
    await client.leave()


async def test_a_query_gets_no_heartbeats(guarded) -> None:
    guard = guarded(Feed(), stream_heartbeat_seconds=0.02, stream_idle_seconds=0.3)
    client = Client(guard, "{me{...@defer{id}}}")
    await until(lambda: guard.app.open)
    guard.app.emit(EVENT)
    reply = await client.ended()
    assert (reply.body, reply.complete) == (EVENT, False)


class Deaf(Connection):
    """A client that takes so many messages and no more."""

    def __init__(self, messages: int) -> None:
        super().__init__([json.dumps({"query": SUBSCRIPTION}).encode()])
        self.left = messages

    async def send(self, message: Any) -> None:
        self.left -= 1
        if self.left < 0:
            await asyncio.Event().wait()
        await super().send(message)


@pytest.mark.parametrize("messages", [1, 2], ids=["an event", "a heartbeat"])
async def test_a_client_that_does_not_read_is_cut(guarded, messages) -> None:
    guard = guarded(Feed(), socket_send_seconds=0.2, stream_heartbeat_seconds=0.05 if messages == 2 else 60)
    client = Client(guard, connection=Deaf(messages))
    await until(lambda: guard.app.open)
    guard.app.emit(EVENT)
    reply = await client.ended()
    assert (reply.status, reply.complete, guard.app.stopped) == (200, False, 1)
    assert guard.metric("fraiseql_guard_refusals_total", code="SLOW_CONSUMER") == 1
    (line,) = guard.lines("guard.subscription_ended")
    assert line["context"]["reason"] == "slow_consumer"
    assert (live(guard), guard.guard.runtime.subscription_room.open_subscriptions) == ([], 0)


async def test_in_monitor_mode_a_client_may_take_its_time(guarded) -> None:
    class Slow(Connection):
        async def send(self, message: Any) -> None:
            await asyncio.sleep(0.25)
            await super().send(message)

    guard = guarded(Feed(), socket_send_seconds=0.05, mode="monitor", stream_heartbeat_seconds=0.05)
    client = Client(guard, connection=Slow([json.dumps({"query": SUBSCRIPTION}).encode()]))
    await until(lambda: guard.app.open)
    for chunk in (EVENT, EVENT, None):
        guard.app.emit(chunk)
    reply = await client.ended()
    assert (reply.body.replace(b":\n\n", b""), reply.complete) == (EVENT * 2, True)
    assert guard.metric("fraiseql_guard_would_refuse_total", code="SLOW_CONSUMER") == 1


async def test_a_heartbeat_that_finds_the_client_gone_stops_the_app(guarded) -> None:
    class Gone(Connection):
        async def send(self, message: Any) -> None:
            if message.get("body", b"")[:1] == b":":
                raise OSError("the client is gone")
            await super().send(message)

    guard = guarded(Feed(), stream_heartbeat_seconds=0.05)
    client = Client(guard, connection=Gone([json.dumps({"query": SUBSCRIPTION}).encode()]))
    await client.ended()
    assert guard.app.stopped == 1
    assert guard.metric("fraiseql_graphql_queries_errors") == 0


# --- their end -------------------------------------------------------------------------------------------------------


@TRANSPORTS
@pytest.mark.parametrize("ending", [BLOCKED_CALLER, USER_GONE])
async def test_a_client_is_told_why_its_stream_ends(guarded, media_type, event, transport, ending) -> None:
    guard = guarded(Feed(media_type))
    (client,) = await subscribed(guard, 1, event)
    (stream,) = live(guard)
    stream.end(ending)
    stream.end(SHUT_DOWN)
    reply = await client.ended()
    _, told = reply.body.split(event)
    assert (reply.complete, guard.app.stopped, live(guard)) == (True, 1, [])
    assert b'"code":"%s"' % ending.code.name.encode() in told
    assert told.endswith(b"\n\nevent: complete\ndata: \n\n" if transport == "sse" else b"\r\n--graphql--\r\n")
    assert [line["context"]["reason"] for line in guard.lines("guard.subscription_ended")] == [ending.reason.value]
    assert guard.metric("fraiseql_graphql_queries_success") == 1


@pytest.mark.parametrize("ending", [TOKEN_OVER, SHUT_DOWN])
async def test_a_client_that_shall_come_again_is_cut_off(guarded, ending) -> None:
    guard = guarded(Feed())
    (client,) = await subscribed(guard, 1)
    live(guard)[0].end(ending)
    reply = await client.ended()
    assert (reply.body, reply.complete, guard.app.stopped, live(guard)) == (EVENT, False, 1, [])
    assert guard.metric("fraiseql_guard_subscription_seconds_count") == 1


async def test_inside_of_an_event_a_stream_is_cut_off(guarded) -> None:
    guard = guarded(Feed())
    (client,) = await subscribed(guard, 1, b"event: next\ndata: ")
    live(guard)[0].end(BLOCKED_CALLER)
    reply = await client.ended()
    assert (reply.body, reply.complete) == (b"event: next\ndata: ", False)


async def test_a_block_ends_a_query_that_streams_and_the_end_of_its_token_does_not(guarded) -> None:
    guard = guarded(Feed())
    client = Client(guard, "{me{...@defer{id}}}")
    await until(lambda: guard.app.open)
    guard.app.emit(EVENT)
    await until(lambda: client.reply.body)
    (stream,) = live(guard)
    stream.end(TOKEN_OVER)
    guard.app.emit(EVENT)
    await until(lambda: client.reply.body == EVENT * 2)
    stream.end(BLOCKED_CALLER)
    reply = await client.ended()
    assert (reply.complete, guard.app.stopped) == (True, 1)


async def test_an_app_that_goes_on_all_the_same_is_not_heard(guarded) -> None:
    goes_on = asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", SSE)]})
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            await goes_on.wait()
        await send({"type": "http.response.body", "body": b""})

    guard = guarded(stubborn)
    client = Client(guard)
    await until(lambda: client.reply.body)
    live(guard)[0].end(BLOCKED_CALLER)
    await until(lambda: client.reply.complete)
    assert guard.guard.runtime.subscription_room.open_subscriptions == 1  # it works on
    goes_on.set()
    reply = await client.ended()
    assert reply.body.count(EVENT) == 1
    assert guard.guard.runtime.subscription_room.open_subscriptions == 0


async def test_a_guard_that_is_closed_ends_its_streams(guarded) -> None:
    guard = guarded(Feed())
    clients = await subscribed(guard, 3)
    await guard.guard.aclose()
    for client in clients:
        assert not (await client.ended()).complete
    assert guard.app.stopped == 3


async def test_without_timeouts_a_stream_can_be_ended_too(guarded) -> None:
    guard = guarded(Feed(), mode_timeout="monitor")
    (client,) = await subscribed(guard, 1)
    live(guard)[0].end(TOKEN_OVER)
    assert not (await client.ended()).complete
    assert guard.app.stopped == 1


async def test_operators_see_an_open_stream(guarded, secret) -> None:
    guard = guarded(Feed(), jwt_secret=secret, token_grace_seconds=7)
    ends_at = int(time.time()) + 1_000
    token = make_token(secret, sub="ada", exp=ends_at)
    (client,) = await subscribed(guard, 1, token=token)
    (stream,) = live(guard)
    facts = stream.facts()
    assert (facts.user_id, facts.ip_address, facts.protocol) == ("ada", "198.51.100.1", "sse")
    assert (facts.events, facts.operations_open, facts.token_ends_at) == (1, 1, ends_at + 7)
    assert facts.operations[0].name == "Ticks"
    assert list(stream.credentials) == [f"Bearer {token}"]
    assert guard.guard.runtime.live.of_subject(stream.ctx.subject) == (stream,)
    await client.leave()
    assert live(guard) == []


@pytest.mark.parametrize("ending", ["answer", "failure", "disconnect", "cancelled", "block", "slow"])
async def test_a_place_comes_back_whatever_happens(guarded, ending) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", SSE)]})
        raise LookupError("the app's own")

    guard = guarded(broken if ending == "failure" else Feed(), socket_send_seconds=0.1)
    client = Client(guard, connection=Deaf(1) if ending == "slow" else None)
    if ending != "failure":
        await until(lambda: guard.app.open)
        guard.app.emit(None if ending == "answer" else EVENT)
    if ending == "disconnect":
        client.connection.leave()
    if ending == "cancelled":
        client.task.cancel()
    if ending == "block":
        live(guard)[0].end(BLOCKED_CALLER)
    await asyncio.wait([client.task], timeout=PATIENCE_SECONDS)
    assert client.task.done()
    if not client.task.cancelled():
        client.task.exception()
    guard.guard.runtime.publish()
    components = guard.guard.reloader.components
    assert (live(guard), components.at_work.operations, components.at_work.subscriptions) == ([], {}, {})
    assert guard.metric("fraiseql_guard_subscriptions") == 0
    reasons = [line["context"]["reason"] for line in guard.lines("guard.subscription_ended")]
    assert reasons == [
        {"answer": "app", "failure": "app", "disconnect": "client", "cancelled": "app", "block": "blocked",
         "slow": ClosingReason.SLOW_CONSUMER}[ending]
    ]  # fmt: skip


async def test_nested_guards_count_a_subscription_once(guarded) -> None:
    inner = guarded(Feed())

    async def between(scope: Any, receive: Any, send: Any) -> None:
        await inner.guard(scope, receive, send)

    outer = guarded(between)
    outer.app = inner.app
    (client,) = await subscribed(outer, 1)
    await client.leave()
    assert outer.metric("fraiseql_guard_subscription_seconds_count") == 1
    assert [len(live(each)) for each in (outer, inner)] == [0, 0]
