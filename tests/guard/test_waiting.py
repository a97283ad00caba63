"""Requests that wait for their rate instead of being refused: a few, for a moment, each in its turn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from tests.support.asgi import Connection, EchoApp, Reply, graphql, request
from tests.support.in_loop import uvicorn_serves
from tests.support.redis_server import RedisServer
from tests.support.socket_memory import SocketApp, opened
from tests.support.waiting import until

ADDRESS = Subject("address", "203.0.113.7")
LONG = {"rate_limit_default": "1/4s", "rate_limit_burst": 0, "rate_limit_wait_ms": 10_000}
"""A wait that no slow machine sits through by chance."""
QUICK = {"rate_limit_default": "2/1s", "rate_limit_burst": 0, "rate_limit_wait_ms": 10_000}


@asynccontextmanager
async def closing(guard: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await guard.guard.aclose()


def waiting(guard: Any) -> float:
    return guard.metric("fraiseql_guard_waiting_requests")


def waited(guard: Any, outcome: str) -> float:
    return guard.metric("fraiseql_guard_waits_total", outcome=outcome)


class Sent:
    """A request that is under way, and whose client can leave."""

    def __init__(self, guard: Any, path: str = "/graphql", *, client: Any = ("203.0.113.7", 1), **more: Any) -> None:
        body = json.dumps({"query": "{me{id}}"}).encode()
        self.connection = Connection([body] if path == "/graphql" else [])
        headers = {"content-type": "application/json", "content-length": str(len(body))} if path == "/graphql" else {}
        method = "POST" if path == "/graphql" else "GET"
        self.task: asyncio.Task[Reply] = asyncio.create_task(
            request(guard, method, path, headers=headers, connection=self.connection, client=client, **more)
        )

    @property
    def refused(self) -> bool:
        return self.task.done() and self.task.result().status == 429

    async def leave(self) -> None:
        self.connection.leave()
        await self.task


async def all_leave(*sent: Sent) -> None:
    for each in sent:
        await each.leave()


# --- in its turn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/graphql", "/page"])
async def test_a_request_waits_and_gets_in(guarded, store, path):
    guard = guarded(rate_limit_abuse_offences=1, **QUICK, **store)
    async with closing(guard):
        replies = await asyncio.gather(*(Sent(guard, path).task for _ in range(5)))
        assert [reply.status for reply in replies] == [200] * 5
        guard.flush()
        assert waited(guard, "admitted") >= 3 - 1  # a slow machine may bring a token of its own
        assert waiting(guard) == 0
        # That it waited is no offence.
        assert list(await guard.store.sanctions.all()) == []
    assert guard.metric("fraiseql_guard_refusals_total", code="RATE_LIMITED") == 0


async def test_they_come_in_in_their_order(guarded):
    order: list[str] = []

    class App(EchoApp):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            order.append(scope["path"])
            await super().__call__(scope, receive, send)

    guard = guarded(App(), **{**QUICK, "rate_limit_default": "4/1s"})
    async with closing(guard):
        sent = []
        for number in range(8):
            sent.append(Sent(guard, f"/page/{number}"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        for each in sent:
            await each.task
    assert order == [f"/page/{number}" for number in range(8)]


async def test_nothing_waits_unless_a_setting_says_so(guarded):
    guard = guarded(rate_limit_default="1/4s", rate_limit_burst=0)
    async with closing(guard):
        assert [(await graphql(guard, "{me{id}}")).status for _ in range(2)] == [200, 429]
    assert waited(guard, "refused") == 0


async def test_who_would_wait_too_long_is_refused_at_once_and_that_is_an_offence(guarded, store):
    guard = guarded(
        rate_limit_default="1/hour", rate_limit_burst=0, rate_limit_wait_ms=10_000, rate_limit_abuse_offences=1, **store
    )
    async with closing(guard):
        assert [(await graphql(guard, "{me{id}}")).status for _ in range(2)] == [200, 429]
        (sanction,) = await guard.store.sanctions.all()
        assert sanction.policy is PolicyName.RATE_LIMIT_ABUSE
    assert waited(guard, "refused") == 0


async def test_those_behind_others_are_refused_at_once_if_their_turn_is_too_late(guarded, store):
    """One every four seconds, ten seconds of patience: two may wait, and a third would not get in."""
    guard = guarded(**LONG, **store)
    async with closing(guard):
        await Sent(guard).task
        first, second = Sent(guard), Sent(guard)
        await until(lambda: waiting(guard) == 2)
        third = Sent(guard)
        await until(lambda: third.task.done())
        assert third.refused
        assert waiting(guard) == 2
        await all_leave(first, second)


async def test_the_wait_ends_when_its_time_is_up(guarded, clock):
    """The token never comes, since the limits' clock stands still: the wait ends after a few tries all the same."""
    guard = guarded(
        clock=clock, rate_limit_default="50/1s", rate_limit_burst=0, rate_limit_wait_ms=100, rate_limit_abuse_offences=1
    )
    async with closing(guard):
        for _ in range(50):
            assert (await request(guard, "GET", "/page")).status == 200
        assert (await request(guard, "GET", "/page")).status == 429
        guard.flush()
        assert waited(guard, "refused") == 1
        assert waiting(guard) == 0
        assert len(await guard.store.sanctions.all()) == 1  # in the end it was one too many


# --- the client ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/graphql", "/page"])
async def test_a_client_that_leaves_frees_its_place_at_once(guarded, store, path):
    guard = guarded(**LONG, **store)
    async with closing(guard):
        await Sent(guard, path).task
        begun = time.monotonic()
        one = Sent(guard, path)
        await until(lambda: waiting(guard) == 1)
        await one.leave()
        assert waiting(guard) == 0
        assert waited(guard, "left") == 1
        assert one.connection.reply.messages == []
        assert time.monotonic() - begun < 4  # not when its turn came
        assert len(guard.app.scopes) == 1  # the app has not heard of it


async def test_a_body_that_waits_counts_in_the_memory_of_bodies(guarded):
    guard = guarded(**LONG)
    async with closing(guard):
        await Sent(guard).task
        one = Sent(guard)
        await until(lambda: waiting(guard) == 1)
        guard.guard.runtime.publish()
        assert guard.metric("fraiseql_guard_buffered_body_bytes") > 0
        await one.leave()
        guard.guard.runtime.publish()
        assert guard.metric("fraiseql_guard_buffered_body_bytes") == 0


async def test_an_app_that_is_asked_afterwards_gets_the_body_and_hears_the_client_leave(guarded):
    app = EchoApp(held=True)
    guard = guarded(app, **QUICK)
    async with closing(guard):
        first = [Sent(guard) for _ in range(2)]
        waits = Sent(guard)
        await until(lambda: app.at_work == 3)
        assert [json.loads(body) for body in app.bodies] == [{"query": "{me{id}}"}] * 3
        waits.connection.leave()
        await until(lambda: app.stopped == 1)
        app.release()
        await asyncio.gather(waits.task, *(each.task for each in first))


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_no_more_wait_than_there_are_places(guarded):
    guard = guarded(rate_limit_waiting=2, **LONG)
    callers = [(f"198.51.100.{number}", 1) for number in range(3)]
    async with closing(guard):
        for caller in callers:
            await Sent(guard, client=caller).task
        sent = [Sent(guard, client=caller) for caller in callers]
        await until(lambda: waiting(guard) == 2 and any(each.refused for each in sent))
        assert waited(guard, "no_place") == 1
        await all_leave(*[each for each in sent if not each.refused])
        late = Sent(guard, client=callers[0])  # there is room again
        await until(lambda: waiting(guard) == 1)
        await late.leave()


async def test_one_caller_takes_a_quarter_of_the_places_at_most(guarded):
    guard = guarded(rate_limit_waiting=8, rate_limit_default="1/2s", rate_limit_burst=0, rate_limit_wait_ms=10_000)
    async with closing(guard):
        await Sent(guard).task
        sent = [Sent(guard) for _ in range(4)]
        await until(lambda: sum(each.refused for each in sent) == 2)
        assert waiting(guard) == 2
        await all_leave(*[each for each in sent if not each.refused])


async def test_a_request_that_waits_holds_no_slot_of_the_operations_at_work(guarded):
    app = EchoApp(held=True)
    guard = guarded(app, max_in_flight=2, **LONG)
    async with closing(guard):
        first = Sent(guard)
        await until(lambda: app.at_work == 1)
        waits = Sent(guard)
        await until(lambda: waiting(guard) == 1)
        guard.guard.runtime.publish()
        assert guard.metric("fraiseql_guard_in_flight") == 1
        await waits.leave()
        app.release()
        await first.task


async def test_the_time_of_the_operation_begins_afterwards(guarded):
    app = EchoApp()
    guard = guarded(app, query_timeout=0.4, **QUICK)
    async with closing(guard):
        sent = [Sent(guard) for _ in range(4)]
        assert [(await each.task).status for each in sent] == [200] * 4  # the last one waits for a second


# --- what never waits ------------------------------------------------------------------------------------------------


async def test_blocked_callers_do_not_wait_and_a_block_ends_a_wait(guarded, store):
    guard = guarded(**{**QUICK, "rate_limit_default": "1/1s"}, **store)
    async with closing(guard):
        await Sent(guard).task
        waits = Sent(guard)
        await until(lambda: waiting(guard) == 1)
        await guard.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
        assert (await waits.task).status == 403
        assert (await Sent(guard).task).status == 403
        assert waiting(guard) == 0


async def test_a_budget_that_is_used_up_is_not_waited_for(guarded):
    guard = guarded(cost_budgets="default=3600", max_query_complexity=4000, rate_limit_wait_ms=10_000)
    async with closing(guard):
        assert (await graphql(guard, "{users(limit:900){id}}")).status == 200
        statuses = [(await graphql(guard, "{users(limit:900){id}}")).status for _ in range(4)]
        assert statuses[-1] == 429
    assert waited(guard, "admitted") + waited(guard, "refused") == 0


async def test_what_another_check_refuses_does_not_wait(guarded):
    guard = guarded(max_query_depth=1, **LONG)
    async with closing(guard):
        await Sent(guard).task
        assert (await graphql(guard, "{a{b{c}}}")).status in (400, 429)
        assert waiting(guard) == 0


async def test_a_body_that_is_still_to_be_read_does_not_wait(guarded):
    guard = guarded(**LONG)
    async with closing(guard):
        statuses = [(await request(guard, "POST", "/upload", body=b"x" * 100)).status for _ in range(2)]
        assert statuses == [200, 429]
    assert waited(guard, "no_place") == 0


async def test_in_monitor_mode_nothing_waits(guarded):
    guard = guarded(mode="monitor", **LONG)
    async with closing(guard):
        assert [(await graphql(guard, "{me{id}}")).status for _ in range(3)] == [200] * 3
    assert waited(guard, "admitted") == 0


# --- over a WebSocket ------------------------------------------------------------------------------------------------


async def test_an_operation_over_a_socket_waits_as_well(guarded):
    guard = guarded(SocketApp(), **QUICK)
    async with closing(guard), opened(guard, client=("203.0.113.7", 1)) as socket:
        await socket.init()
        answers = [await socket.ask("{ me { id } }", str(number)) for number in range(4)]
        assert all("data" in answer for answer in answers)
        guard.flush()
        assert waited(guard, "admitted") >= 1


async def test_the_end_of_a_socket_ends_the_wait_of_its_operation(guarded):
    app = SocketApp()
    guard = guarded(app, **LONG)
    async with closing(guard):
        async with opened(guard, client=("203.0.113.7", 1)) as socket:
            await socket.init()
            await socket.ask("{ me { id } }")
            await socket.start("2", "{ me { id } }")
            await until(lambda: waiting(guard) == 1)
            await guard.store.sanctions.impose(Sanction(ADDRESS, PolicyName.OPERATOR, 60))
        await until(lambda: waiting(guard) == 0)
        assert [message["type"] for message in app.received].count("subscribe") == 1


# --- a real server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_closes_its_connection_while_it_waits_frees_its_place(guarded, method):
    guard = guarded(**LONG)
    body = b'{"query":"{me{id}}"}' if method == "POST" else b""
    path = "/graphql" if method == "POST" else "/page"
    head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    async with uvicorn_serves(guard, lifespan="on") as port:

        async def send() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + b"\r\n" + body)
            return reader, writer

        reader, first = await send()
        assert (await reader.readline()).split()[1] == b"200"
        first.close()
        _, second = await send()
        await until(lambda: waiting(guard) == 1)
        second.close()
        await until(lambda: waiting(guard) == 0, seconds=3)  # its turn would come after four
        assert waited(guard, "left") == 1
        assert len([scope for scope in guard.app.scopes if scope["type"] == "http"]) == 1


# --- the store -------------------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_two_workers_let_in_what_the_limit_allows(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, **QUICK}
    one, other = guarded(EchoApp(), **options), guarded(EchoApp(), **options)
    async with closing(one), closing(other):
        began = time.monotonic()
        sent = [Sent(guard) for guard in (one, other) for _ in range(4)]
        replies = [await each.task for each in sent]
        seconds = time.monotonic() - began
        admitted = sum(reply.status == 200 for reply in replies)
        assert admitted <= 2 + 2 * seconds + 1
        assert admitted >= 6


@pytest.mark.redis
async def test_a_store_that_stops_answering_ends_the_wait_by_its_policy(guarded):
    with RedisServer() as own:
        guard = guarded(redis_url=own.url, on_store_failure="closed", **{**QUICK, "rate_limit_default": "1/2s"})
        async with closing(guard):
            await Sent(guard).task
            waits = Sent(guard)
            await until(lambda: waiting(guard) == 1)
            own.kill()
            assert (await waits.task).status == 503
            assert waiting(guard) == 0
