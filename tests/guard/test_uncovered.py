"""GraphQL on a path that no setting covers is warned about at the first request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.asgi import graphql, request
from tests.support.upgrades import EchoSocketApp, upgrade

RESULT = b'{"data":{"me":{"id":1}}}'


def answering(body: bytes = RESULT, status: int = 200, content_type: bytes = b"application/json", *headers: Any) -> Any:
    """An app that reads the request and answers each alike."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        lines = [(b"content-type", content_type), *headers]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    return app


def warnings(guard: Any) -> list[str]:
    lines = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    return [line for line in lines if "serves GraphQL" in line]


async def test_it_is_warned_about_at_the_first_and_names_the_variable(guarded) -> None:
    guard = guarded(answering())
    for _ in range(3):
        await graphql(guard, "{me{id}}", path="/api/query")
    (warning,) = warnings(guard)
    assert warning.startswith("/api/query serves GraphQL")
    assert "FRAISEQL_GUARD_GRAPHQL_PATHS" in warning


@pytest.mark.parametrize(
    "body",
    [
        {"query": "query A($n: Int) { me(n: $n) { id } }"},
        {"query": "  # a comment\n{me{id}}"},
        {"operationName": "A", "variables": {"query": 1}, "query": "mutation { login }"},
        {"query": "query Q @live { a }"},
        {"query": 'fragment F on User { id } { me { ...F n(a: "\\u00e9\\"") } }'},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}},
        [{"query": "subscription{x}"}],
    ],
)
@pytest.mark.parametrize("result", [RESULT, b' [ {"errors": []}]', b'{"extensions":{}}'])
async def test_every_form_of_a_document_in_json_is_known(guarded, body: Any, result: bytes) -> None:
    guard = guarded(answering(result))
    await request(guard, path="/q", body=json.dumps(body).encode())
    assert len(warnings(guard)) == 1


async def test_documents_elsewhere_are_known_too(guarded) -> None:
    guard = guarded(answering())
    await request(guard, "GET", "/by-get", query="operationName=A&query=%7Bme%7Bid%7D%7D")
    await request(guard, path="/by-text", body=b"{me{id}}", content_type="application/graphql")
    streaming = guarded(answering(b"event: next\n", 200, b"text/event-stream; charset=utf-8"))
    await graphql(streaming, "subscription{x}", path="/stream")
    chatting = guarded(EchoSocketApp())
    await upgrade(chatting, "/live", offers=["graphql-transport-ws"])
    assert [line.split()[0] for line in warnings(guard)] == ["/by-get", "/by-text"]
    assert [line.split()[0] for line in warnings(streaming)] == ["/stream"]
    assert [line.split()[0] for line in warnings(chatting)] == ["/live"]


@pytest.mark.parametrize(("status", "times"), [(200, 1), (404, 0)])
async def test_where_the_answer_cannot_be_read_its_status_tells(guarded, status: int, times: int) -> None:
    guard = guarded(answering(b"\x1f\x8b", status, b"application/json", (b"content-encoding", b"gzip")))
    await graphql(guard, "{me{id}}", path="/q")
    assert len(warnings(guard)) == times


async def test_what_is_no_graphql_is_not(guarded) -> None:
    search = json.dumps({"query": "red shoes (size 40)"}).encode()
    guard = guarded(answering())
    await request(guard, path="/search", body=search)
    await request(guard, path="/search", body=b'{"query": "cut off in \\')
    await request(guard, path="/search", body=b'{"query": "{me', content_type="text/plain")
    await request(guard, "GET", "/search", query="query=shoes")
    await request(guard, "GET", "/search", query="query=" + "&" * 500)
    await upgrade(guard, "/chat", offers=[])
    for status, body in ((404, b'{"detail":"Not Found"}'), (422, b'{"detail":[]}'), (200, b"<html>{}")):
        await graphql(guarded(answering(body, status)), "{me{id}}", path="/page")
    assert warnings(guard) == []


async def test_a_guarded_path_brings_no_warning_and_the_tenth_is_the_last(guarded) -> None:
    guard = guarded(answering(), rate_limit_default="1000/minute")
    await graphql(guard, "{me{id}}")
    assert warnings(guard) == []
    for number in range(15):
        await graphql(guard, "{me{id}}", path=f"/q/{number}")
    assert len(warnings(guard)) == 10


async def test_the_app_gets_what_was_sent_and_the_client_what_was_answered(guarded) -> None:
    received: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            received.append(message["body"])
            more = message["more_body"]
        await answering(b"{}")(scope, receive_nothing, send)

    async def receive_nothing() -> Any:
        return {"type": "http.request"}

    guard = guarded(app)
    reply = await request(guard, path="/q", chunks=[b'{"query":', b'"{a}"}'])
    assert (received, reply.body) == ([b'{"query":', b'"{a}"}'], b"{}")
