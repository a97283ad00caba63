"""Dispatches ASGI scopes: an HTTP request gets its handler, a WebSocket's upgrade is decided, other scopes pass."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard.asgi.describe import describe, nest
from fraiseql_guard.asgi.exposition_page import send_exposition
from fraiseql_guard.asgi.head_cache import HeadKey
from fraiseql_guard.asgi.health_pages import detailed, is_short, short
from fraiseql_guard.asgi.request_handler import RequestHandler
from fraiseql_guard.asgi.runtime import OperatorAuthentication, Runtime
from fraiseql_guard.asgi.sockets.upgrade import HttpAnswers, Upgrade
from fraiseql_guard.asgi.uncovered import UncoveredGraphQL
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.request import REQUEST
from fraiseql_guard.core.signals import GUARD_FAULT, Code
from fraiseql_guard.telemetry.spans import active_span, mark

_INTERNAL_ERROR: Final = 1011
"""The status code for an unexpected condition (RFC 6455, section 7.4.1)."""


class Dispatcher:
    """Serves every scope under the settings in force. Its state belongs to the process, not to a request."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime  # exchanged when an operator changes the settings in force
        self._uncovered = UncoveredGraphQL(runtime.recorder.warn, runtime.on_graphql_paths_alone)
        self._http_answers = HttpAnswers(runtime.now)
        self.apart = False
        """Whether operators have a port of their own, so that the admin path on this port is the app's."""

    def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one scope of any type. Unknown types pass through unchanged."""
        kind = scope["type"]
        if kind == "http":
            return self._http(self.runtime, app, scope, receive, send)
        if kind == "websocket":
            return self._upgrade(self.runtime, app, scope, receive, send)
        return app(scope, receive, send)

    async def serve_operators(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope on the operators' own port, where every path is theirs."""
        if scope["type"] == "http":
            await self._operators_http(self.runtime, scope, receive, send, self.runtime.operator_authentication)
        elif scope["type"] == "websocket":
            await self._upgrade(self.runtime, _no_app, scope, receive, send, for_operator=True)
        elif scope["type"] == "lifespan":
            await _nothing_to_start(receive, send)

    def _http(self, runtime: Runtime, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one HTTP request. A request that cannot be described cannot be checked, so it does not pass."""
        nested, head_cache = REQUEST in scope, runtime.head_cache
        try:
            # 1. Middleware beside the guard may give the answer a request id of its own.
            if runtime.neighbours.active and not nested:
                send = runtime.neighbours.answering(scope, send)
            # 2. A refusal that is repeated is answered from memory.
            key, generation = head_cache.key(scope), head_cache.generation
            if not nested and (refusal := runtime.refusal_cache.find(scope, key, generation)) is not None:
                return refusal.answer(send)
            # 3. The description of a head is cached.
            head = head_cache.find(key)
            ctx = None if head is None else head.describe(scope)
        except Exception as error:  # noqa: BLE001 - as the docstring says
            runtime.tell(runtime.recorder.fault, "heads", error)
            return refuse_unchecked(send)
        try:
            # 4. A head that is not cached is described now, and may be an operator's.
            if ctx is None:
                place = runtime.paths.place(scope)
                if (authentication := self._operators_at(place)) is not None:
                    return self._operators_http(runtime, scope, receive, send, authentication)
                ctx = describe(scope, runtime, place)
                ctx.head_key = None if key is None else HeadKey(key, generation)
                answering = self._answering(ctx, app)
                ctx.own_page, app = answering is not app, answering
            ctx.enforced = runtime.refuses
            if nested:
                nest(ctx, scope, runtime)
            if not ctx.guarded and self._uncovered.looking:
                receive, send = self._uncovered.watch(scope, receive, send, ctx)
            runtime.control.ensure_polling()
            return RequestHandler(runtime, app, scope, receive, send, ctx).run()
        except Exception as error:  # noqa: BLE001 - as the docstring says
            runtime.tell(runtime.recorder.fault, "describe", error)
            return refuse_unchecked(send)

    async def _operators_http(
        self,
        runtime: Runtime,
        scope: Scope,
        receive: Receive,
        send: Send,
        authentication: OperatorAuthentication | None,
    ) -> None:
        """Serve a request to the operators' API."""
        app: ASGIApp = _no_app
        try:
            ctx = describe(scope, runtime, runtime.paths.place(scope))
            nest(ctx, scope, runtime)
            if authentication is not None:
                app = await authentication.receive(scope, ctx)
        except Exception as error:  # noqa: BLE001 - as above
            runtime.tell(runtime.recorder.fault, "describe", error)
            await refuse_unchecked(send)
            return
        runtime.control.ensure_polling()
        await RequestHandler(runtime, app, scope, receive, send, ctx).run()

    def _answering(self, ctx: RequestContext, app: ASGIApp) -> ASGIApp:
        """The app that answers a request: the given one, or the guard's own metrics or health page."""
        if ctx.guarded:
            return app
        runtime = self.runtime
        if runtime.metrics_access is not None and runtime.metrics_access.asked_for(ctx):
            return self._exposition
        if runtime.health_access is None:
            return app
        if runtime.health_access.asked_for(ctx):
            return detailed(runtime.health)
        return short(app) if is_short(ctx) else app

    async def _exposition(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI app
        """The metrics page, as an ASGI app that runs behind the checks like any other."""
        runtime = self.runtime
        runtime.watch_host()
        runtime.publish()
        await send_exposition(scope, send, runtime.recorder.metrics.page)

    def _operators_at(self, place: Place) -> OperatorAuthentication | None:
        """The authentication of operators for a place below the admin path; None for other places, without an API, and
        if operators have a port of their own."""
        return None if place.below_admin is None or self.apart else self.runtime.operator_authentication

    def _upgrade(
        self,
        runtime: Runtime,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        for_operator: bool = False,
    ) -> Awaitable[None]:
        """Serve the upgrade to a WebSocket; operators have no sockets. The awaitable must not keep a Runtime alive,
        because it lives as long as the socket."""
        try:
            place = runtime.paths.place(scope)
            ctx = describe(scope, runtime, place)
            ctx.enforced = runtime.refuses
            nest(ctx, scope, runtime)
        except Exception as error:  # noqa: BLE001 - as above
            runtime.tell(runtime.recorder.fault, "describe", error)
            return send({"type": "websocket.close", "code": _INTERNAL_ERROR})
        ctx.for_operator = for_operator or self._operators_at(place) is not None
        runtime.control.ensure_polling()
        if not ctx.guarded and self._uncovered.looking:
            receive, send = self._uncovered.watch(scope, receive, send, ctx)
        return Upgrade(self, self._http_answers, scope, send, ctx).run(app, receive)


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI app
    """Stands in for the app on the operators' own port: refuses what the operators' API does not answer."""
    if scope["type"] == "websocket":
        await refuse_websocket(scope, send, GUARD_FAULT)
    else:
        await refuse_unchecked(send)


async def _nothing_to_start(receive: Receive, send: Send) -> None:
    """The lifespan of the operators' own port: all that it uses is started by the app's port."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def refuse_unchecked(send: Send) -> None:
    """Answer a request about which the guard could not decide (GUARD_FAULT): it does not pass."""
    await refuse_with(GUARD_FAULT, send, (b"retry-after", b"1"))


async def refuse_with(code: Code, send: Send, *more: tuple[bytes, bytes]) -> None:
    """Answer a request with a refusal's code, and further headers ``more``."""
    mark(active_span(), code.name, code.protection.value)
    body = orjson.dumps({"errors": [{"message": code.message, "extensions": {"code": code.name}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": code.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_websocket(scope: Scope, send: Send, code: Code) -> None:
    """Answer an upgrade with a refusal's code; a server that cannot do so sends a 403, as for every close before accept
    (ASGI specification)."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": code.message})
        return
    body = orjson.dumps({"errors": [{"message": code.message, "extensions": {"code": code.name}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": code.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
