"""What one caller's bodies may take of the memory for all: the others are served whatever one of them sends."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from fraiseql_guard import QueryLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, graphql, request
from tests.support.waiting import until

ATTACKER, OTHER = ("203.0.113.66", 1), ("203.0.113.7", 1)
SIZES = {"max_body_bytes": 1_000, "max_buffered_bytes": 16_000}  # a share of 2,000 bytes
PART = b'{"query":"' + b" " * 490


class Unfinished(Connection):
    """A client that sends a part of its body, and the rest never; it can leave."""

    def __init__(self, beginning: bytes = PART) -> None:
        super().__init__([beginning, b""])
        self.messages.pop()


class Held:
    """Requests of which the body is being waited for."""

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self.connections: list[Unfinished] = []
        self.running: list[asyncio.Task[Any]] = []

    async def open(self, count: int, beginning: bytes = PART, **caller: Any) -> None:
        for _ in range(count):
            connection = Unfinished(beginning)
            self.connections.append(connection)
            asked = request(self._guard, content_type="application/json", chunks=[b""], connection=connection, **caller)
            self.running.append(asyncio.ensure_future(asked))
        await until(lambda: all(each.done() or not each_c.messages for each, each_c in self._pairs()))
        for _ in range(5):
            await asyncio.sleep(0)

    def _pairs(self) -> Any:
        return zip(self.running, self.connections, strict=True)

    @property
    def codes(self) -> list[str | None]:
        """Those of the requests that were refused."""
        return [connection.reply.code for task, connection in self._pairs() if task.done()]

    async def leave(self) -> None:
        for connection in self.connections:
            connection.leave()
        await asyncio.gather(*self.running)


async def test_many_slow_bodies_of_one_address_leave_the_others_theirs(guarded) -> None:
    guard = guarded(**SIZES)
    held = Held(guard)
    await held.open(40, client=ATTACKER)
    assert held.codes == ["BODY_SHARE_FULL"] * 36
    refused = next(each.reply for each in held.connections if each.reply.status)
    assert (refused.status, refused.header("retry-after"), refused.extensions["limit"]) == (429, "1", 2_000)
    assert guard.guard.runtime.budget.used == 2_000
    assert (await graphql(guard, "{me{id}}", client=OTHER)).status == 200
    assert (await graphql(guard, "{me{id}}", client=ATTACKER)).code == "BODY_SHARE_FULL"
    await held.leave()
    assert (await graphql(guard, "{me{id}}", client=ATTACKER)).status == 200
    assert (guard.guard.runtime.budget.used, guard.guard.runtime.budget.by_caller) == (0, {})


async def test_the_addresses_of_one_ipv6_network_are_one_caller(guarded) -> None:
    guard = guarded(**SIZES)
    held = Held(guard)
    for host in range(8):
        await held.open(1, client=(f"2001:db8:0:1::{host:x}", 1))
    assert held.codes == ["BODY_SHARE_FULL"] * 4
    await held.open(1, client=("2001:db8:0:2::1", 1))
    assert held.codes == ["BODY_SHARE_FULL"] * 4
    await held.leave()


async def test_a_user_is_one_caller_wherever_they_are_and_not_the_one_beside_them(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, **SIZES)
    held = Held(guard)
    for host in range(8):
        await held.open(1, client=(f"198.51.100.{host}", 1), token=make_token(secret, sub="mallory", n=host))
    assert held.codes == ["BODY_SHARE_FULL"] * 4
    same_office = make_token(secret, sub="alice")
    assert (await graphql(guard, "{me{id}}", client=("198.51.100.1", 1), token=same_office)).status == 200
    await held.leave()


async def test_when_all_is_taken_everyone_is_told_so_and_pays_nothing(guarded) -> None:
    guard = guarded(rate_limit_default="1000/hour", rate_limit_burst=0, **SIZES)
    held = Held(guard)
    for host in range(8):
        await held.open(4, client=(f"198.51.100.{host}", 1))
    assert held.codes == []
    for _ in range(3):
        reply = await graphql(guard, "{me{id}}", client=OTHER)
        assert (reply.status, reply.code, reply.header("retry-after")) == (503, "BODY_BUFFER_FULL", "1")
    await held.leave()
    reply = await graphql(guard, "{me{id}}", client=OTHER)
    assert (reply.status, reply.header("x-ratelimit-remaining")) == (200, "999")


async def test_one_largest_body_always_fits_whatever_an_eighth_is(guarded) -> None:
    guard = guarded(max_body_bytes=1_000, max_buffered_bytes=1_000)
    body = b'{"query":"{me{id}}"' + b" " * 980 + b"}"
    assert len(body) == 1_000
    assert (await request(guard, body=body)).status == 200
    guard = guarded(multipart=True, max_request_bytes=5_000, max_body_bytes=100, max_buffered_bytes=5_000)
    body = b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{}\r\n' + b" " * 3_000
    reply = await request(guard, body=body, content_type=MULTIPART, headers=UPLOADS)
    assert reply.code == "BAD_REQUEST"  # it was read, and is no form


async def test_who_cannot_be_told_apart_has_all_there_is(guarded) -> None:
    guard = guarded(allow_list="203.0.113.0/24", **SIZES)
    for caller in (
        {"client": OTHER},
        {"client": None},
        {"client": ("10.0.0.1", 1), "headers": {"x-forwarded-for": "1.2.3.4"}},
    ):
        held = Held(guard)
        await held.open(30, **caller)
        assert held.codes == []
        await held.leave()


async def test_it_is_the_same_without_rate_limits(guarded) -> None:
    guard = guarded(middleware=QueryLimitMiddleware, **SIZES)
    held = Held(guard)
    await held.open(8, client=ATTACKER)
    assert held.codes == ["BODY_SHARE_FULL"] * 4
    assert guard.metric("fraiseql_guard_refusals_total", code="BODY_SHARE_FULL", protection="query_limits") == 4
    await held.leave()


async def test_in_monitor_mode_it_is_only_said_and_the_app_gets_every_byte(guarded) -> None:
    guard = guarded(mode="monitor", max_body_bytes=30, max_buffered_bytes=100)
    held = Held(guard)
    await held.open(2, beginning=b" " * 25, client=ATTACKER)
    chunks = [b'{"query":', b'"{me{id}}"', b"}"]
    assert (await request(guard, chunks=chunks, client=ATTACKER)).status == 200
    assert guard.app.bodies == [b"".join(chunks)]
    await held.leave()
    assert guard.metric("fraiseql_guard_would_refuse_total", code="BODY_SHARE_FULL") == 2


# --- bodies that never become complete --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["leaves", "is too slow"])
async def test_a_body_that_is_given_up_costs_what_a_refused_request_does(guarded, ending) -> None:
    guard = guarded(rate_limit_default="10/hour", rate_limit_burst=0, body_timeout_seconds=0.05)
    for number in range(10):
        connection = Unfinished()
        if ending == "leaves":
            connection.leave()
        await request(guard, content_type="application/json", chunks=[b""], connection=connection)
        assert connection.reply.status == (408 if ending == "is too slow" else 0), number
        assert guard.guard.runtime.budget.used == 0
    assert (await graphql(guard, "{me{id}}")).code == "RATE_LIMITED"


async def test_who_leaves_again_and_again_is_blocked_as_for_any_flood(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0, rate_limit_abuse_offences=2)
    for _ in range(4):
        connection = Unfinished()
        connection.leave()
        await request(guard, content_type="application/json", chunks=[b""], connection=connection)
        await asyncio.sleep(1.01)  # one offence a second
    assert (await graphql(guard, "{me{id}}")).code == "BLOCKED"


# --- what memory is really held ---------------------------------------------------------------------------------------

BATCH = b"[" + b",".join([b'{"query":"{me{id}}","variables":{"a":"' + b"x" * 300 + b'"}}'] * 5) + b"]"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query":"mutation($f:Upload){a(f:$f)}",'
    b'"variables":{"f":null}}\r\n--x\r\nContent-Disposition: form-data; name="map"\r\n\r\n{"0":["variables.f"]}\r\n'
    b'--x\r\nContent-Disposition: form-data; name="0"; filename="a"\r\n\r\n' + b"y" * 1_500 + b"\r\n--x--\r\n"
)
MULTIPART = "multipart/form-data; boundary=x"
UPLOADS = {"graphql-require-preflight": "1"}


@pytest.mark.parametrize(
    ("body", "content_type"), [(BATCH, "application/json"), (FORM, MULTIPART)], ids=["a batch", "an upload"]
)
@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_the_app_gets_the_same_bytes_in_however_many_parts_they_came(guarded, body, content_type, size) -> None:
    guard = guarded(batching=True, multipart=True)
    chunks = [body[begin : begin + size] for begin in range(0, len(body), size)]
    padded = [part for chunk in chunks for part in (b"", chunk)] + [b""]
    assert (await request(guard, chunks=padded, content_type=content_type, headers=UPLOADS)).status == 200
    assert guard.app.bodies == [body]
    assert guard.guard.runtime.budget.used == 0


class Crumbs(Connection):
    """A client that sends a body byte by byte, each in a message of its own, and then waits."""

    def __init__(self, count: int, piece: bytes) -> None:
        super().__init__([])
        self.left, self._piece = count, piece

    async def receive(self) -> Any:
        if self.left == 0:
            return await super().receive() if not self.messages else await self._left.wait() or self._gone()
        self.left -= 1
        return {"type": "http.request", "body": bytes(bytearray(self._piece)), "more_body": True}

    def _gone(self) -> Any:
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("piece", [b" ", b""], ids=["a byte", "nothing"])
async def test_crumbs_take_no_more_memory_than_they_count_for(guarded, piece) -> None:
    guard = guarded(body_timeout_seconds=600)
    connection = Crumbs(200_000, piece)
    tracemalloc.start()
    try:
        running = asyncio.ensure_future(
            request(guard, content_type="application/json", chunks=[b""], connection=connection)
        )
        await until(lambda: connection.left == 0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert guard.guard.runtime.budget.used == 200_000 * len(piece)
    assert held < 2_000_000  # with a message for each it were 40 MB
    connection.leave()
    await running


async def test_what_is_refused_is_held_no_longer_while_its_answer_is_sent(guarded) -> None:
    guard = guarded(max_body_bytes=1_000)
    seen: list[int] = []

    class Watching(Connection):
        async def send(self, message: Any) -> None:
            seen.append(guard.guard.runtime.budget.used)
            await super().send(message)

    for body in (b"x" * 999, b"x" * 1_001):
        await request(guard, content_type="application/json", chunks=[b""], connection=Watching([body]))
    assert seen == [0] * 4


async def test_the_memory_is_free_with_the_last_message_of_the_answer(guarded) -> None:
    at_the_end: list[int] = []

    class App(EchoApp):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            at_the_end.append(guard.guard.runtime.budget.used)

    guard = guarded(App())
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert at_the_end == [0]
