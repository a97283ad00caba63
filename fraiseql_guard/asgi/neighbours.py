"""Middlewares beside the guard that have an id for each request as well: OpenTelemetry's, and asgi-correlation-id.

The guard hands its ids down to them in request headers, so that it makes no difference where they stand inside. An app
that uses neither pays for one look at a flag.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

from starlette.types import Message, Scope, Send

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.telemetry.spans import Tracing

_REQUEST_ID: Final = b"x-request-id"
_TRACEPARENT: Final = b"traceparent"
_TRACESTATE: Final = b"tracestate"
_CORRELATION: Final = "asgi_correlation_id"
_CORRELATION_MIDDLEWARE: Final = "CorrelationIdMiddleware"
_DEEPEST: Final = 50


class Neighbours:
    """The correlation middlewares that were found around and inside the app."""

    __slots__ = ("_correlation", "_id_headers", "_tracing", "active")

    def __init__(self) -> None:
        self._tracing = Tracing()
        self._correlation: ContextVar[str | None] | None = None
        self._id_headers: frozenset[bytes] = frozenset({_REQUEST_ID})
        self.active = False
        """Whether any was found, so that ids are handed down."""

    def look(self, app: Any) -> None:
        """Search for them from the guarded app inwards: at the start, and once the app has started."""
        self._tracing.look()
        found = getattr(sys.modules.get(_CORRELATION), "correlation_id", None)
        self._correlation = found if isinstance(found, ContextVar) else None
        if self._correlation is not None:
            named = frozenset(name.lower().encode("latin-1", "replace") for name in _header_names(app))
            self._id_headers = named | {_REQUEST_ID}
        self.active = self._tracing.active or self._correlation is not None

    def hand_down(self, scope: Scope, ctx: RequestContext) -> Scope:
        """The scope for the app. The client's own stays as it is for those outside."""
        if ctx.outer is not None:
            return scope  # a guard further outside has done it
        more = self._tracing.headers_for(ctx.headers, ctx.method, lambda: ctx.trace_id) if self._tracing.active else {}
        dropped = {*more, _TRACESTATE} if _TRACEPARENT in more else set(more)
        if self._correlation is not None:
            self._correlation.set(ctx.request_id)
            own = ctx.request_id.encode()
            more |= dict.fromkeys(self._id_headers, own)
            dropped |= self._id_headers
        if not more:
            return scope
        return {**scope, "headers": [*(line for line in scope["headers"] if line[0] not in dropped), *more.items()]}

    def answering(self, scope: Scope, send: Send) -> Send:
        """``send`` for the guard's answers, where asgi-correlation-id may stand outside: it writes the same id as the
        guard, and where both use the same header, it alone does."""
        correlation = self._correlation
        theirs = correlation.get() if correlation is not None else None
        if correlation is None or not theirs:
            return send
        same_header = (_REQUEST_ID, theirs.encode("latin-1", "replace")) in [tuple(line) for line in scope["headers"]]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                lines = message["headers"]
                ours = next((value for name, value in lines if name == _REQUEST_ID), None)
                if ours is not None:
                    correlation.set(ours.decode("latin-1"))
                    if same_header:
                        message = {**message, "headers": [line for line in lines if line[0] != _REQUEST_ID]}
            await send(message)

        return answer


def _header_names(app: Any) -> Iterator[str]:
    """The headers of the correlation middlewares inside, as far as the app shows them."""
    for _ in range(_DEEPEST):
        if app is None:
            return
        if type(app).__name__ == _CORRELATION_MIDDLEWARE:
            yield str(app.header_name)
        yield from _declared_names(getattr(app, "user_middleware", None) or ())
        app = getattr(app, "app", None)


def _declared_names(declared: Iterable[Any]) -> Iterator[str]:
    for each in declared:
        name = getattr(each, "kwargs", {}).get("header_name")
        if getattr(each.cls, "__name__", "") == _CORRELATION_MIDDLEWARE and isinstance(name, str):
            yield name
