"""The app of the socket benchmark: it speaks graphql-transport-ws and computes nothing, bare or behind a guard."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from fraiseql_guard import Guard

SEND_SECONDS = 2.0
"""After so long the guard ends the socket of a client that does not read."""
ACK = '{"type":"connection_ack"}'


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answers an operation with as many results as its variable ``n`` says."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    while (received := await receive())["type"] == "websocket.receive":
        message = json.loads(received["text"])
        if message["type"] == "connection_init":
            await send({"type": "websocket.send", "text": ACK})
        elif message["type"] == "subscribe":
            await _answer(message, send)


async def _answer(message: Any, send: Any) -> None:
    number, asked = message["id"], message["payload"]["variables"]
    if "every" in asked:
        await _tick(number, asked, send)
    text = _result(number, {"id": "1"})
    for _ in range(asked["n"]):
        await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.send", "text": json.dumps({"id": number, "type": "complete"})})


async def _tick(number: str, asked: Any, send: Any) -> None:
    """Events without an end, so many seconds apart and so many bytes large, each with the moment when it is sent."""
    rest = "x" * asked["bytes"]
    while True:
        await send({"type": "websocket.send", "text": _result(number, {"sent": time.monotonic(), "rest": rest})})
        await asyncio.sleep(asked["every"])


def _result(number: str, me: Any) -> str:
    return json.dumps({"id": number, "type": "next", "payload": {"data": {"me": me}}})


def guarded() -> Guard:
    """The same behind the whole guard, with limits that the benchmark does not meet."""
    return Guard(
        bare,
        rate_limit_default="100000000/minute",
        rate_limit_sockets="1000000/minute",
        socket_messages="10000000/second",
        max_sockets=10_000,
        max_sockets_per_caller=10_000,
        auth_required=False,
        socket_send_seconds=SEND_SECONDS,
    )
