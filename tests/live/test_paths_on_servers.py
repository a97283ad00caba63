"""Spellings of paths as uvicorn and hypercorn hand them on, with a root path and without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from tests.support.in_loop import hypercorn_serves, uvicorn_serves

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
DATA = "what only a caller with a token may see"
LONG = 30.0


async def data(request: Any) -> PlainTextResponse:
    return PlainTextResponse(DATA)


async def socket(websocket: Any) -> None:
    await websocket.accept()


def app() -> Starlette:
    both = ["GET", "POST"]
    return Starlette(
        routes=[
            Route("/graphql", data, methods=both),
            Route("/private", data, methods=both),
            WebSocketRoute("/graphql", socket),
            WebSocketRoute("/private", socket),
        ]
    )


SERVERS: dict[str, Callable[..., Any]] = {
    "uvicorn": partial(uvicorn_serves, lifespan="on"),
    "uvicorn-h11": partial(uvicorn_serves, lifespan="on", http="h11"),
    "hypercorn": hypercorn_serves,
}


async def send(port: int, target: str, method: str = "GET", *headers: str, body: bytes = b"") -> bytes:
    """One request with this target on the wire, and its whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {target} HTTP/1.1", "Host: host", "Connection: close", f"Content-Length: {len(body)}", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    answer = await asyncio.wait_for(reader.read(), LONG)
    writer.close()
    return answer


TARGETS = """
/graphql /graphql%0A /graphql%0a /graphql%0D /graphql%00 //graphql /./graphql /%67raphql /graphql/ http://host/graphql
http://other/graphql%0A graphql /private /private%0A //private /x/../private http://host/private private
""".split()


@pytest.mark.parametrize("root", ["", "/v1", "/v1/"])
@pytest.mark.parametrize("server", list(SERVERS))
async def test_no_spelling_on_the_wire_reaches_what_needs_a_token(guarded, server: str, root: str) -> None:
    guard = guarded(app(), jwt_secret=SECRET, auth_paths="/private", rate_limit_default="100000/minute")
    body = json.dumps({"query": "{me{id}}"}).encode()
    under = root.rstrip("/")
    async with SERVERS[server](guard.guard, root_path=root) as port:
        for target in [*TARGETS, *(under + each for each in TARGETS if each.startswith("/"))]:
            for method in ("GET", "POST"):
                answer = await send(port, target, method, "Content-Type: application/json", body=body)
                assert DATA.encode() not in answer, (target, method)
            upgrade = "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            answer = await send(port, target, "GET", *upgrade, "Connection: Upgrade")
            assert b" 101 " not in answer.partition(b"\r\n")[0], target


@pytest.mark.parametrize("server", list(SERVERS))
async def test_under_a_root_path_our_pages_are_served(guarded, server: str) -> None:
    guard = guarded(app(), rate_limit_default="3/hour", rate_limit_burst=0)
    async with SERVERS[server](guard.guard, root_path="/svc") as port:
        for _ in range(5):
            assert b'{"status":"ok"}' in await send(port, "/health")
            assert b"fraiseql_response_time_seconds" in await send(port, "/metrics")
            assert b'"memory"' in await send(port, "/health/detailed")
