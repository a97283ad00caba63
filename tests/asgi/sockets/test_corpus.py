"""Attacks are refused over sockets as over HTTP: with the same code, the same numbers, over both protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import build_schema

import examples.starlette_blog
from fraiseql_guard import Guard
from tests.corpus.loading import JSON, Case, load
from tests.support.asgi import request
from tests.support.socket_memory import L, SocketApp, T, error_of, opened

SCHEMA = build_schema(Path(examples.starlette_blog.__file__).with_name("schema.graphql").read_text())
START = {T: "subscribe", L: "start"}


def could_be_a_message(case: Case) -> bool:
    """Whether the request is one by POST on a GraphQL path, whose whole content is its body, in UTF-8."""
    plain = case.method == "POST" and case.path == "/graphql" and not case.url and case.headers == tuple(JSON.items())
    try:
        return plain and bool(case.body.decode()) and len(case.body) < 100_000
    except UnicodeDecodeError:
        return False


ATTACKS, ORDINARY = (list(filter(could_be_a_message, load(kind))) for kind in ("attacks", "ordinary"))


def test_there_is_something_to_compare() -> None:
    assert len(ATTACKS) > 100
    assert len(ORDINARY) > 40


def guard_for(case: Case, guarded: Any, app: Any) -> Any:
    if case.only == "without":
        return guarded(app, Guard, max_message_bytes=1_000_000, **case.settings)
    schema = case.schema or SCHEMA
    return guarded(app, Guard, schema=schema, max_message_bytes=1_000_000, **case.settings)


def message(protocol: str, body: bytes) -> str:
    return f'{{"id":"1","type":"{START[protocol]}","payload":{body.decode()}}}'


def is_json(body: bytes) -> bool:
    """Whether the message that carries it is JSON, and read alike by every host."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return "recursion" in str(error).lower()  # its depth is what it is refused for
    return True


@pytest.mark.parametrize("protocol", [T, L])
@pytest.mark.parametrize("case", ATTACKS, ids=str)
async def test_an_attack_is_refused_as_over_http(guarded, case, protocol) -> None:
    over_http = await request(
        guard_for(case, guarded, SocketApp()), body=case.body, content_type=None, headers=case.headers
    )
    app = SocketApp()
    guard = guard_for(case, guarded, app)
    async with opened(guard, protocol) as socket:
        await socket.init()
        await socket.send_raw(text=message(protocol, case.body))
        if not is_json(case.body):
            assert (await socket.ended()).code == 4400
            assert over_http.code == "BAD_REQUEST"
        else:
            found = await socket.receive()
            assert found["type"] == "error"
            told, expected = error_of(found)["extensions"], dict(over_http.extensions)
            assert told.pop("requestId") != expected.pop("requestId")
            assert told == expected
    assert len(app.received) == 1
    assert guard.lines("guard.fault") == []


@pytest.mark.parametrize("protocol", [T, L])
@pytest.mark.parametrize("case", ORDINARY, ids=str)
async def test_an_ordinary_operation_reaches_the_app_byte_for_byte(guarded, case, protocol) -> None:
    app = SocketApp()
    async with opened(guard_for(case, guarded, app), protocol) as socket:
        await socket.init()
        await socket.send_raw(text=message(protocol, case.body))
        found = await socket.receive()
        if case.body.lstrip().startswith(b"["):
            assert found["type"] == "error"  # a message is one operation
        else:
            assert app.texts[1:] == [message(protocol, case.body)], found
