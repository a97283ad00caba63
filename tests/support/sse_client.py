"""A client of GraphQL over server-sent events, in the mode of distinct connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

LONGEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SSEvent:
    """One event; a comment, such as a heartbeat, has the name ":"."""

    name: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data) if self.data else None


class SSEStream:
    """An answer that is read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self._lines = response.aiter_lines()
        self._coming: asyncio.Task[SSEvent] | None = None

    async def event(self, seconds: float = LONGEST_SECONDS) -> SSEvent:
        """The next event or comment; EOFError where the stream ends, or is cut. After a TimeoutError it goes on."""
        self._coming = self._coming or asyncio.ensure_future(self._event())
        done, _ = await asyncio.wait({self._coming}, timeout=seconds)
        if not done:
            raise TimeoutError
        found, self._coming = self._coming, None
        return found.result()

    async def close(self) -> None:
        """Cut the connection."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait({self._coming})
        await self.response.aclose()

    async def next(self, seconds: float = LONGEST_SECONDS) -> SSEvent:
        """The next event that is no comment."""
        while (found := await self.event(seconds)).name == ":":
            pass
        return found

    async def payloads(self) -> list[Any]:
        """Those of all ``next`` events, to the ``complete``."""
        found = []
        while (event := await self.next()).name == "next":
            found.append(event.json)
        assert event.name == "complete", event
        return found

    async def _event(self) -> SSEvent:
        name, data = "message", []
        while True:
            try:
                line = await anext(self._lines)
            except (StopAsyncIteration, httpx.TransportError) as end:
                raise EOFError from end
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line.startswith(":"):
                return SSEvent(":", value)
            if not line and (data or name != "message"):
                return SSEvent(name, "\n".join(data))
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)


@asynccontextmanager
async def streamed(
    url: str, query: str, *, headers: Mapping[str, str] | None = None, get: bool = False,
    transport: httpx.AsyncHTTPTransport | None = None, **payload: Any,
) -> AsyncIterator[SSEStream]:  # fmt: skip
    """Ask by POST (or GET) for server-sent events. The connection is cut with the block.

    ``transport`` says from which address, and which certificate is trusted.
    """
    accept = {"accept": "text/event-stream", **(headers or {})}
    async with httpx.AsyncClient(timeout=LONGEST_SECONDS, trust_env=False, transport=transport) as client:
        how = {"params": {"query": query, **{name: json.dumps(value) for name, value in payload.items()}}}
        request = client.build_request(
            "GET" if get else "POST", url, headers=accept, **(how if get else {"json": {"query": query, **payload}})
        )
        stream = SSEStream(await client.send(request, stream=True))
        try:
            yield stream
        finally:
            await stream.close()
