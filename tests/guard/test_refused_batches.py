"""Who sends a batch gets as many answers as it has operations, also where it is refused before its body is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fraiseql_guard import AuthMiddleware, Guard, QueryTimeoutMiddleware, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, request

ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1_000_000}
FORM = {"graphql-require-preflight": "1"}


def batch(number: int, query: str = "{me{id}}") -> bytes:
    return json.dumps([{"query": query}] * number).encode()


def is_refused(reply: Reply, number: int, code: str) -> bool:
    """Whether there is one whole refusal for each operation."""
    assert isinstance(reply.json, list)
    assert reply.header("content-length") == str(len(reply.body))
    assert all(len(answer["errors"]) == 1 for answer in reply.json)
    return (len(reply.json), reply.code) == (number, code)


@pytest.mark.parametrize("number", [1, 2, 10])
@pytest.mark.parametrize("middleware", [AuthMiddleware, Guard])
async def test_without_a_token(guarded, secret, middleware, number) -> None:
    guard = guarded(middleware=middleware, jwt_secret=secret, batching=True)
    reply = await request(guard, body=batch(number))
    assert reply.status == 401
    assert is_refused(reply, number, "UNAUTHENTICATED")
    assert guard.app.scopes == []


@pytest.mark.parametrize("middleware", [RateLimitMiddleware, Guard])
async def test_too_often_and_remembered(guarded, middleware) -> None:
    """However often it is refused, nothing is remembered that would answer a batch of another length."""
    guard = guarded(middleware=middleware, batching=True, **ONCE)
    await request(guard, body=batch(1))
    for _ in range(20):
        for number in (1, 2, 3):
            padded = batch(number).ljust(100)  # so that their heads are alike
            assert is_refused(await request(guard, body=padded), number, "RATE_LIMITED")


async def test_refusals_of_single_operations_are_still_remembered(guarded) -> None:
    guard = guarded(batching=True, **ONCE)
    body = b'{"query":"{me{id}}"}'
    assert [(await request(guard, body=body)).status for _ in range(20)] == [200] + [429] * 19
    assert guard.guard.runtime.refusal_cache.size_bytes > 0


async def test_from_a_blocked_address(guarded) -> None:
    guard = guarded(batching=True)
    await guard.guard.block_ip("203.0.113.0/24", 60)
    await guard.guard.runtime.control.refresh()
    assert is_refused(await request(guard, body=batch(4)), 4, "BLOCKED")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (batch(3, "{"), "GRAPHQL_PARSE_FAILED"),
        (batch(3, "{a{a{a{a{a{a{a{a{a{a{a{a{a}}}}}}}}}}}}}"), "QUERY_TOO_DEEP"),
        (b'[1, {"query": "{a}"}, []]', "BAD_REQUEST"),
        (b"[[], [], []]", "BAD_REQUEST"),
    ],
)
async def test_after_it_was_read(guarded, sent, code) -> None:
    assert is_refused(await request(guarded(batching=True), body=sent), 3, code)


async def test_where_batches_are_not_accepted_their_sender_sees_why(guarded) -> None:
    reply = await request(guarded(), body=batch(3))
    assert is_refused(reply, 3, "BATCHING_DISABLED")
    assert "FRAISEQL_GUARD_BATCHING" in reply.extensions["detail"]


@pytest.mark.parametrize("body", [batch(11), b"[]", b"[", b"[{}", b'[{"query":', b"  ", b"{}", b'["\\"' + b'\\"' * 9])
@pytest.mark.parametrize("token", [None, "good"])
async def test_one_refusal_of_what_is_too_long_or_cannot_be_read(guarded, secret, body, token) -> None:
    guard = guarded(jwt_secret=secret, batching=True)
    reply = await request(guard, body=body, token=token and make_token(secret, sub="alice"))
    assert reply.status in (400, 401)
    assert isinstance(reply.json, dict)


async def test_one_refusal_of_a_body_beyond_its_bound(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, batching=True, max_body_bytes=220)
    announced = await request(guard, body=batch(10))
    counted = await request(guard, chunks=[batch(10)[:200], batch(10)[200:]])
    for reply in (announced, counted):
        assert (reply.status, reply.code, isinstance(reply.json, dict)) == (401, "UNAUTHENTICATED", True)
    assert guard.guard.runtime.budget.used == 0


class Slow(Connection):
    """A client that sends the beginning of its body, and then nothing."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__([beginning, b"never"])
        self.received = 0

    async def receive(self) -> Any:
        self.received += 1
        if self.received > 1:
            await asyncio.Event().wait()
        return await super().receive()


async def test_no_body_is_waited_for_longer_than_any(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, batching=True, body_timeout_seconds=0.05)
    reply = await request(guard, body=batch(2), connection=Slow(b"  [{"))
    assert (reply.status, reply.code, isinstance(reply.json, dict)) == (401, "UNAUTHENTICATED", True)


@pytest.mark.parametrize(
    ("batching", "beginning", "read"), [(True, b' \n{"query"', 1), (True, b"?", 1), (False, b"[{", 0)]
)
async def test_no_more_is_read_than_shows_that_it_is_no_batch(guarded, secret, batching, beginning, read) -> None:
    connection = Slow(beginning)
    guard = guarded(jwt_secret=secret, batching=batching, body_timeout_seconds=600)
    reply = await asyncio.wait_for(request(guard, body=batch(2), connection=connection), 30)
    assert (reply.status, connection.received) == (401, read)


async def test_a_server_that_fails_while_it_is_read_changes_nothing(guarded, secret) -> None:
    class Failing(Connection):
        async def receive(self) -> Any:
            raise RuntimeError("the server is broken")

    guard = guarded(jwt_secret=secret, batching=True)
    reply = await request(guard, body=batch(2), connection=Failing([]))
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("middleware", [QueryTimeoutMiddleware, Guard])
async def test_an_app_that_takes_too_long(guarded, middleware) -> None:
    guard = guarded(EchoApp(held=True), middleware, batching=True, query_timeout=0.05)
    reply = await request(guard, body=batch(2))
    assert reply.status == 504
    assert is_refused(reply, 2, "QUERY_TIMEOUT")


async def test_a_batch_in_a_form(guarded) -> None:
    parts = (("operations", batch(2, "mutation{upload").decode()), ("map", "{}"))
    lines = "".join(f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in parts)
    body = f"{lines}--x--\r\n".encode()
    guard = guarded(batching=True, multipart=True)
    reply = await request(guard, body=body, content_type="multipart/form-data; boundary=x", headers=FORM)
    assert is_refused(reply, 2, "GRAPHQL_PARSE_FAILED")


async def test_elsewhere_nothing_changes(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, batching=True, auth_paths="/private")
    reply = await request(guard, path="/private", body=batch(2))
    assert (reply.status, reply.header("content-type")) == (401, "application/problem+json")
    assert reply.json["code"] == "UNAUTHENTICATED"
