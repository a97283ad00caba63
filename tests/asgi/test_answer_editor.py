"""Which messages of an app reach the server where answers are edited: when, and byte for byte."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.asgi import Connection, graphql, request

WHOLE = b'{"errors":[{"message":"no such field. Did you mean \'user\'?"}]}'
CLEAN = b'{"errors":[{"message":"no such field."}]}'


def head(length: int | None, *lines: tuple[bytes, bytes], media_type: bytes = b"application/json", **more):
    headers = [(b"content-type", media_type), *lines]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": 200, "headers": headers, **more}


def body(chunk: bytes, *, more: bool = False):
    return {"type": "http.response.body", "body": chunk, "more_body": more}


async def sent(guarded, *messages, seen: list[int] | None = None):
    """What reaches the server of what an app sends, without our own headers. ``seen``: how many messages had reached
    it after each."""
    connection = Connection([b'{"query":"{usr{id}}"}'])

    async def app(scope, receive, send) -> None:
        await receive()
        for message in messages:
            await send(message)
            if seen is not None:
                seen.append(len(connection.reply.messages))

    await graphql(guarded(app), "{usr{id}}", connection=connection)
    return [shown(message) for message in connection.reply.messages]


def shown(message):
    if message["type"] == "http.response.start":
        own = {b"content-type", b"content-length", b"etag", b"content-encoding", b"x-app"}
        return message["status"], {name: value for name, value in message["headers"] if name in own}
    return message.get("body"), message.get("more_body", False)


async def test_head_and_body_are_held_back_until_they_are_whole(guarded) -> None:
    seen: list[int] = []
    (_, headers), last = await sent(
        guarded, head(len(WHOLE), (b"x-app", b"1")), body(WHOLE[:9], more=True), body(WHOLE[9:]), seen=seen
    )
    assert headers == {b"content-type": b"application/json", b"x-app": b"1", b"content-length": b"%d" % len(CLEAN)}
    assert last == (CLEAN, False)
    assert seen == [0, 0, 2]


@pytest.mark.parametrize("media_type", [b"Application/JSON ; charset=utf-8", b"application/graphql-response+json"])
async def test_every_spelling_of_json_is_meant(guarded, media_type) -> None:
    assert (await sent(guarded, head(len(WHOLE), media_type=media_type), body(WHOLE)))[1] == (CLEAN, False)


@pytest.mark.parametrize(
    "start",
    [
        head(None),
        head(len(WHOLE), media_type=b"text/html"),
        head(len(WHOLE), (b"etag", b'"1"')),
        head(len(WHOLE), (b"content-encoding", b"br")),
        head(len(WHOLE), trailers=True),
        head(262_145),
        head(0),
        {"type": "http.response.start", "status": 200},
    ],
    ids=["no length", "no json", "a tag", "encoded", "trailers", "too large", "empty", "no headers"],
)
async def test_what_is_not_to_be_edited_is_not_held_back(guarded, start) -> None:
    seen: list[int] = []
    messages = await sent(guarded, start, body(WHOLE[:9], more=True), body(WHOLE[9:]), seen=seen)
    assert messages[1:] == [(WHOLE[:9], True), (WHOLE[9:], False)]
    assert messages[0][1].get(b"content-length") == dict(start.get("headers", [])).get(b"content-length")
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("length", [len(WHOLE) - 1, len(WHOLE) + 1], ids=["too long", "too short"])
async def test_a_body_of_another_length_than_its_head_says_goes_as_it_came(guarded, length) -> None:
    messages = await sent(guarded, head(length), body(WHOLE))
    assert messages[0][1][b"content-length"] == b"%d" % length
    assert messages[1:] == [(WHOLE, False)]


async def test_once_it_is_longer_than_its_head_says_nothing_is_held_back(guarded) -> None:
    seen: list[int] = []
    messages = await sent(
        guarded, head(10), body(b"x" * 6, more=True), body(b"y" * 6, more=True), body(b"z"), seen=seen
    )
    assert messages[1:] == [(b"x" * 6 + b"y" * 6, True), (b"z", False)]
    assert seen == [0, 0, 2, 3]


async def test_another_message_in_between_lets_go_what_was_held(guarded) -> None:
    seen: list[int] = []
    other = {"type": "http.response.debug", "info": {}}
    messages = await sent(guarded, head(len(WHOLE)), body(WHOLE[:9], more=True), other, body(WHOLE[9:]), seen=seen)
    assert messages[1:] == [(WHOLE[:9], True), (None, False), (WHOLE[9:], False)]
    assert seen == [0, 0, 3, 4]


async def test_a_body_that_says_nothing_of_itself_is_the_whole_of_it(guarded) -> None:
    assert (await sent(guarded, head(len(WHOLE)), {"type": "http.response.body", "body": WHOLE}))[1] == (CLEAN, False)
    assert (await sent(guarded, head(9), {"type": "http.response.body"}))[1:] == [(b"", False)]


async def test_the_client_of_an_answer_that_is_held_back_gets_the_refusal_of_the_deadline_alone(guarded) -> None:
    async def halting(scope, receive, send) -> None:
        await receive()
        await send(head(len(WHOLE)))
        await send(body(WHOLE[:9], more=True))
        try:
            await asyncio.sleep(30)
        finally:
            await send(body(WHOLE[9:]))

    reply = await graphql(guarded(halting, query_timeout=0.05), "{usr{id}}")
    assert (reply.status, reply.code, len(reply.messages)) == (504, "QUERY_TIMEOUT", 2)


async def test_a_send_may_be_a_task(guarded) -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        for message in (head(len(WHOLE)), body(WHOLE)):
            await asyncio.create_task(send(message))

    assert (await graphql(guarded(app), "{usr{id}}")).body == CLEAN


async def test_what_the_app_sends_is_left_as_it_is(guarded) -> None:
    start, end = head(len(WHOLE)), body(WHOLE)
    before = {**start, "headers": list(start["headers"])}
    await sent(guarded, start, end)
    assert (start, end) == (before, body(WHOLE))


async def test_the_answer_to_head_is_not_held_back_and_its_body_is_not_counted(guarded) -> None:
    async def app(scope, receive, send) -> None:
        await send(head(len(WHOLE)))
        await send(body(WHOLE))

    guard = guarded(app)
    reply = await request(guard, "HEAD", query="query={usr{id}}")
    assert (reply.status, reply.header("content-length")) == (200, str(len(WHOLE)))
    assert guard.metric("fraiseql_http_response_size_bytes_count") == 1
    assert guard.metric("fraiseql_http_response_size_bytes_sum") == 0
