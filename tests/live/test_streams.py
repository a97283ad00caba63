"""Streams of Starlette behind the guard on a real server: cut when silent, stopped when their client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.support.in_loop import uvicorn_serves

LONG = 30.0


class Ticks:
    """Sends events after the pauses given, and notes how it ended."""

    def __init__(self, pauses: list[float]) -> None:
        self.pauses = pauses
        self.ended: str | None = None
        self.over = asyncio.Event()

    async def events(self) -> AsyncIterator[bytes]:
        try:
            for pause in self.pauses:
                await asyncio.sleep(pause)
                yield b"data: 1\n\n"
            self.ended = "finished"
        finally:
            self.ended = self.ended or "stopped"
            self.over.set()

    async def page(self, request: Request) -> StreamingResponse:
        await request.body()
        return StreamingResponse(self.events(), media_type="text/event-stream")


async def subscribe(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"query": "subscription{ticks{id}}"}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


def mounted(guarded, ticks: Ticks, **options):
    app = Starlette(routes=[Route("/graphql", ticks.page, methods=["POST"])])
    return guarded(app, rate_limit_default="100000/minute", **options)


@pytest.mark.parametrize("pauses", [[LONG], [0, 0, LONG]], ids=["at the first byte", "in the middle"])
async def test_a_stream_that_stalls_is_cut_so_that_the_client_can_tell(guarded, pauses) -> None:
    ticks = Ticks(pauses)
    guard = mounted(guarded, ticks, stream_idle_seconds=0.5)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await subscribe(port)
        answer = await asyncio.wait_for(reader.read(), LONG / 2)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"data: 1") == len(pauses) - 1
    assert not answer.endswith(b"0\r\n\r\n")  # the last chunk never came: the answer is not whole
    assert ticks.ended == "stopped"
    assert guard.metric("fraiseql_errors_total", error_code="QUERY_TIMEOUT") == 1


@pytest.mark.parametrize("pauses", [[0.01, LONG], [0.02] * 1000], ids=["while it is silent", "while it sends"])
async def test_a_client_that_leaves_stops_it(guarded, pauses) -> None:
    ticks = Ticks(pauses)
    guard = mounted(guarded, ticks)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await subscribe(port)
        await asyncio.wait_for(reader.readuntil(b"data: 1"), LONG / 2)
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.wait_for(ticks.over.wait(), LONG / 2)
    assert ticks.ended == "stopped"
    assert guard.metric("fraiseql_graphql_queries_errors") == 1
    assert guard.metric("fraiseql_graphql_queries_success") == 0


async def test_a_stream_that_ends_by_itself_is_whole(guarded) -> None:
    ticks = Ticks([0.05] * 5)
    guard = mounted(guarded, ticks, query_timeout=0.1, stream_idle_seconds=10)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await subscribe(port)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), LONG / 2)
        writer.close()
    assert answer.count(b"data: 1") == 5
    assert ticks.ended == "finished"
    assert guard.metric("fraiseql_graphql_queries_success") == 1
