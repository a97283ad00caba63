"""Live connections that do nothing but live: what a socket or a stream is to those who end it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.core.request import context_of
from tests.support.asgi import request


class Living:
    """A live connection that ends when it is told to: it remembers why, and when (``time.time``)."""

    def __init__(self, guard: Any, ctx: RequestContext) -> None:
        self._guard = guard
        self.ctx = ctx
        self.credentials: Sequence[str] = ctx.lines(b"authorization")
        self.endings: list[Ending] = []
        self.ended_at: float | None = None
        self.told = LiveFacts(
            id=ctx.request_id,
            protocol="graphql_transport_ws",
            user_id=ctx.user_id,
            ip_address=ctx.address,
            age_seconds=0.0,
        )

    def facts(self) -> LiveFacts:
        return self.told

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)
        self.ended_at = self.ended_at or time.time()
        self.leave()

    def leave(self) -> None:
        """Its client has left."""
        self._guard.runtime.live.remove(self)

    @property
    def why(self) -> str | None:
        """What its client was told; None while it lives."""
        return self.endings[0].told if self.endings else None


class OpeningApp:
    """An app that leaves something open behind each request that it answers; it belongs behind one guard."""

    def __init__(self) -> None:
        self.guard: Any = None
        self.opened: list[Living] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        ctx = context_of(scope)
        assert ctx is not None
        living = Living(self.guard, ctx)
        self.opened.append(living)
        self.guard.runtime.live.add(living)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def opened(guard: Any, **more: Any) -> Living:
    """What lives on behind a request that ``guard`` (of ``guarded(OpeningApp())``) has let pass."""
    guard.app.guard = guard.guard
    reply = await request(guard, body=b'{"query": "{me{id}}"}', **more)
    assert reply.status == 200, reply.body
    living: Living = guard.app.opened[-1]
    return living
