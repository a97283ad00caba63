"""What an answer costs is written into it where that can be done safely, and nowhere else."""

from __future__ import annotations

import asyncio
import json

import pytest

from fraiseql_guard.asgi.cost_note import put_cost
from tests.support.asgi import EchoApp, graphql

TEN = "{users(limit:10){id}}"
COST = {"requested": 10}


class Answer(EchoApp):
    """Answers with given bytes, head and chunks."""

    def __init__(self, *chunks: bytes, length: bool = True, media_type: str = "application/json", **headers: str):
        super().__init__()
        self.chunks = chunks
        self.head = [(b"content-type", media_type.encode())]
        self.head += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        if length:
            self.head.append((b"content-length", str(len(b"".join(chunks))).encode()))

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": self.head})
        for index, chunk in enumerate(self.chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": index < len(self.chunks) - 1})


async def test_it_is_opt_in(guarded) -> None:
    guard = guarded(Answer(b'{"data":1}'), cost_budgets="default=100")
    assert (await graphql(guard, TEN)).body == b'{"data":1}'


async def test_an_answer_says_what_it_cost_and_what_is_left(guarded) -> None:
    guard = guarded(cost_budgets="default=3600", cost_in_response=True)
    reply = await graphql(guard, TEN)
    assert reply.json["extensions"]["cost"] == {"requested": 10, "limit": 3600, "remaining": 3590, "restoreRate": 1.0}
    assert reply.json["data"] == {"ok": True}
    assert int(reply.header("content-length") or 0) == len(reply.body)
    assert reply.complete
    without_budget = await graphql(guarded(cost_in_response=True), TEN)
    assert without_budget.json["extensions"]["cost"] == COST


async def test_an_answer_in_parts_of_a_known_length_is_noted(guarded) -> None:
    guard = guarded(Answer(b'{"data"', b":1", b"}", b""), cost_in_response=True)
    reply = await graphql(guard, TEN)
    assert reply.json == {"data": 1, "extensions": {"cost": COST}}
    assert int(reply.header("content-length") or 0) == len(reply.body)


@pytest.mark.parametrize(
    "app",
    [
        Answer(b'{"data":1}', length=False),
        Answer(b'{"data"', b":1}", length=False),
        Answer(b'[{"data":1}]'),
        Answer(b"not json"),
        Answer(b'{"extensions":{"cost":{"actual":1}}}'),
        Answer(b'{"extensions":[]}'),
        Answer(b'{"data":"' + b"x" * 300_000 + b'"}'),
        Answer(b'{"data":1}', content_encoding="gzip"),
        Answer(b'{"data":1}', etag='"1"'),
        Answer(b"data: {}\n\n", b"data: {}\n\n", length=False, media_type="text/event-stream"),
        Answer(b"<html>", media_type="text/html"),
        Answer(b"[" * 5000 + b"]" * 5000),
    ],
    ids=range(12),
)
async def test_anything_else_goes_by_byte_for_byte(guarded, app) -> None:
    reply = await graphql(guarded(app, cost_in_response=True), TEN)
    assert (reply.body, reply.complete) == (b"".join(app.chunks), True)
    assert (reply.header("content-length") or "").encode() == dict(app.head).get(b"content-length", b"")


async def test_a_refusal_is_not_noted_and_other_paths_are_not(guarded) -> None:
    guard = guarded(Answer(b'{"data":1}'), cost_in_response=True, cost_budgets="default=10")
    await graphql(guard, TEN)
    assert "cost" not in (await graphql(guard, TEN)).extensions
    assert (await graphql(guard, TEN, path="/other")).body == b'{"data":1}'


async def test_an_app_that_stops_after_its_head_gets_the_answer_of_the_deadline(guarded) -> None:
    class Stuck(Answer):
        async def __call__(self, scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": self.head})
            await asyncio.sleep(60)

    reply = await graphql(guarded(Stuck(b'{"data":1}'), cost_in_response=True, query_timeout=0.05), TEN)
    assert (reply.status, reply.code) == (504, "QUERY_TIMEOUT")


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"big":123456789012345678901234567890.10}}',
        b' {\n "data" : 1.0 \n} \n',
        b"{}",
        b'{"extensions":{},"data":1}',
        b'{"extensions" : {"trace": [1, "}"]}, "data":{"extensions":{"cost":1}}}',
    ],
)
def test_what_the_app_wrote_keeps_its_form(body) -> None:
    noted = put_cost(body, COST)
    assert noted is not None
    found = json.loads(noted, parse_float=str)
    assert found["extensions"].pop("cost") == COST
    before = json.loads(body, parse_float=str)
    assert found == {**before, "extensions": before.get("extensions", {})}
