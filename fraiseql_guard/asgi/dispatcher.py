"""Dispatches ASGI scopes: HTTP becomes an exchange, a WebSocket's upgrade is decided, the rest passes."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any, Final

import orjson

from fraiseql_guard.asgi.describe import describe, nest
from fraiseql_guard.asgi.exposition_page import send_exposition
from fraiseql_guard.asgi.health_pages import detailed, is_short, short
from fraiseql_guard.asgi.plain_handler import Passage, is_plain
from fraiseql_guard.asgi.request_handler import Exchange
from fraiseql_guard.asgi.runtime import OperatorAuthentication, Runtime
from fraiseql_guard.asgi.uncovered import UncoveredGraphQL
from fraiseql_guard.asgi.upgrade import Upgrade
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.request import REQUEST
from fraiseql_guard.core.signals import GUARD_FAULT, Code
from fraiseql_guard.telemetry.spans import active_span, mark

_INTERNAL_ERROR: Final = 1011
"""RFC 6455, section 7.4.1."""


class Dispatcher:
    """The door of the stack in force. Holds what concerns the process, not a request."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime  # exchanged when an operator changes the settings in force
        self._uncovered = UncoveredGraphQL(runtime.recorder.warn)
        self.apart = False
        """Whether operators come in elsewhere, so that their path is the app's."""

    def serve(self, app: Any, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """One scope of any type. Unknown types pass through unchanged."""
        kind = scope["type"]
        if kind == "http":
            runtime = self.runtime
            key, refusal_cache, nested = runtime.head_cache.key(scope), runtime.refusal_cache, REQUEST in scope
            try:
                if runtime.neighbours.active and not nested:
                    send = runtime.neighbours.answering(scope, send)
                if refusal_cache.answers and not nested and (repeat := refusal_cache.find(scope, key)) is not None:
                    return repeat.answer(send)
                head = runtime.head_cache.find(key)
                if head is not None and head.address not in runtime.allow_list:
                    runtime.control.ensure_polling()
                    ctx = head.describe(scope)  # it has passed before
                    if not head.guarded and self._uncovered.looking:
                        receive, send = self._uncovered.watch(scope, receive, send)
                    if nested:
                        nest(ctx, scope, runtime)
                        ctx.head = head.without_trip()  # what others have paid is another each time
                    if head.plain:
                        return Passage(runtime, receive, send, ctx).run(app, scope)
                    return Exchange(runtime, app, scope, receive, send, ctx).run()
            except Exception as error:  # noqa: BLE001 - as below
                runtime.tell(runtime.recorder.fault, "heads", error)
                return refuse_unchecked(send)
            return self._http(runtime, app, scope, receive, send, key)
        if kind == "websocket":
            return self._upgrade(self.runtime, app, scope, receive, send)
        passed: Awaitable[None] = app(scope, receive, send)
        return passed

    async def serve_operators(self, scope: Any, receive: Any, send: Any) -> None:
        """One scope on a port of the operators' own: every path is theirs."""
        if scope["type"] == "http":
            await self._operators_http(self.runtime, scope, receive, send, self.runtime.door)
        elif scope["type"] == "websocket":
            await self._upgrade(self.runtime, None, scope, receive, send, for_operator=True)
        elif scope["type"] == "lifespan":
            await _nothing_to_start(receive, send)

    def _http(self, runtime: Runtime, app: Any, scope: Any, receive: Any, send: Any, key: Hashable) -> Awaitable[None]:
        """A request for the app, or for operators."""
        try:
            place = runtime.paths.place(scope)
            door = self._door(place)
            if door is not None:
                return self._operators_http(runtime, scope, receive, send, door)
            ctx = describe(scope, runtime, place)
            nest(ctx, scope, runtime)
        except Exception as error:  # noqa: BLE001 - what cannot be described cannot be checked, so it does not pass
            runtime.tell(runtime.recorder.fault, "describe", error)
            return refuse_unchecked(send)
        page = app if ctx.guarded else self._page(ctx, app)
        ctx.head_key, ctx.own_page = key, page is not app
        if not ctx.guarded and self._uncovered.looking:
            receive, send = self._uncovered.watch(scope, receive, send)
        return self._through_the_gates(runtime, page, scope, receive, send, ctx)

    async def _operators_http(
        self, runtime: Runtime, scope: Any, receive: Any, send: Any, door: OperatorAuthentication | None
    ) -> None:
        """A request for the operators' API."""
        app = None
        try:
            ctx = describe(scope, runtime, runtime.paths.place(scope))
            nest(ctx, scope, runtime)
            if door is not None:
                app = await door.receive(scope, ctx)
        except Exception as error:  # noqa: BLE001 - as above
            runtime.tell(runtime.recorder.fault, "describe", error)
            await refuse_unchecked(send)
            return
        await self._through_the_gates(runtime, app, scope, receive, send, ctx)

    def _through_the_gates(
        self, runtime: Runtime, app: Any, scope: Any, receive: Any, send: Any, ctx: RequestContext
    ) -> Awaitable[None]:
        runtime.control.ensure_polling()
        if is_plain(runtime, ctx):
            return Passage(runtime, receive, send, ctx).run(app, scope)
        return Exchange(runtime, app, scope, receive, send, ctx).run()

    def _page(self, ctx: RequestContext, app: Any) -> Any:
        """What answers a request elsewhere than on a GraphQL path: a page of ours, or the app."""
        runtime = self.runtime
        if runtime.metrics_access is not None and runtime.metrics_access.asked_for(ctx):
            return self._exposition
        if runtime.health_access is None:
            return app
        if runtime.health_access.asked_for(ctx):
            return detailed(runtime.health)
        return short(app) if is_short(ctx) else app

    async def _exposition(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - an ASGI app
        """The metrics, as an app that runs behind the gates like any other."""
        runtime = self.runtime
        runtime.watch_host()
        runtime.publish()
        await send_exposition(scope, send, runtime.recorder.metrics.page)

    def _door(self, place: Place) -> OperatorAuthentication | None:
        """Where operators come in, if this is for them."""
        return None if place.below_admin is None or self.apart else self.runtime.door

    async def _upgrade(
        self, runtime: Runtime, app: Any, scope: Any, receive: Any, send: Any, *, for_operator: bool = False
    ) -> None:
        """The upgrade to a WebSocket. Operators have none."""
        try:
            place = runtime.paths.place(scope)
            ctx = describe(scope, runtime, place)
            nest(ctx, scope, runtime)
        except Exception as error:  # noqa: BLE001 - as above
            runtime.recorder.fault("describe", error)
            await send({"type": "websocket.close", "code": _INTERNAL_ERROR})
            return
        ctx.for_operator = for_operator or self._door(place) is not None
        runtime.control.ensure_polling()
        if not ctx.guarded and self._uncovered.looking:
            receive, send = self._uncovered.watch(scope, receive, send)
        await Upgrade(runtime, scope, send, ctx).run(app, receive)


async def _nothing_to_start(receive: Any, send: Any) -> None:
    """The lifespan of a port that shares everything with another."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def refuse_unchecked(send: Any) -> None:
    """Answer a request of which nothing could be decided: it does not pass."""
    await refuse_with(GUARD_FAULT, send, (b"retry-after", b"1"))


async def refuse_with(code: Code, send: Any, *more: tuple[bytes, bytes]) -> None:
    """Answer a request with a code alone."""
    mark(active_span(), code.name, code.protection.value)
    body = orjson.dumps({"errors": [{"message": code.message, "extensions": {"code": code.name}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": code.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_websocket(scope: Any, send: Any, code: Code) -> None:
    """Answer an upgrade with a code alone. A close before accept is a 403 (ASGI specification)."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": code.message})
        return
    body = orjson.dumps({"errors": [{"message": code.message, "extensions": {"code": code.name}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": code.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
