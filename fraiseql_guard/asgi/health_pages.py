"""The health pages: the details, and the short page where the app has none of its own."""

from __future__ import annotations

from typing import Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.place import OwnPage
from fraiseql_guard.telemetry.process.health import Health

_NOT_FOUND: Final = 404
_ALIVE: Final = orjson.dumps({"status": "ok"})


def detailed(health: Health) -> ASGIApp:
    """The health details as an ASGI app, which runs behind the checks."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI app
        report = await health.report()
        await _answer(scope, send, report.http_status, orjson.dumps(report.content))

    return page


def is_short(ctx: RequestContext) -> bool:
    """Whether a request is for the short page."""
    return ctx.place.page is OwnPage.ALIVE and ctx.method in ("GET", "HEAD")


def short(app: ASGIApp) -> ASGIApp:
    """Wrap the app so that its 404 becomes ``{"status": "ok"}``: the process answers requests."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        missing = False

        async def watch(message: Message) -> None:
            nonlocal missing
            missing = missing or (message["type"] == "http.response.start" and message["status"] == _NOT_FOUND)
            if not missing:
                await send(message)

        await app(scope, receive, watch)
        if missing:
            await _answer(scope, send, 200, _ALIVE)

    return page


async def _answer(scope: Scope, send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
