"""Dispatches ASGI scopes: HTTP becomes an exchange, a WebSocket's upgrade is decided, the rest passes."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any, Final

import orjson

from fraiseql_guard.context import Context, Place
from fraiseql_guard.edge.describe import describe, nest
from fraiseql_guard.edge.exchange import Exchange
from fraiseql_guard.edge.exposition_page import send_exposition
from fraiseql_guard.edge.health_pages import detailed, is_short, short
from fraiseql_guard.edge.passage import Passage, is_plain
from fraiseql_guard.edge.stack import OperatorsDoor, Stack
from fraiseql_guard.edge.uncovered import UncoveredGraphQL
from fraiseql_guard.edge.upgrade import Upgrade
from fraiseql_guard.request import REQUEST
from fraiseql_guard.signals import GUARD_FAULT, Code
from fraiseql_guard.telemetry.spans import active_span, mark

_INTERNAL_ERROR: Final = 1011
"""RFC 6455, section 7.4.1."""


class Entrance:
    """The door of the stack in force. Holds what concerns the process, not a request."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack  # exchanged when an operator changes the settings in force
        self._uncovered = UncoveredGraphQL(stack.settle.warn)
        self.apart = False
        """Whether operators come in elsewhere, so that their path is the app's."""

    def serve(self, app: Any, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """One scope of any type. Unknown types pass through unchanged."""
        kind = scope["type"]
        if kind == "http":
            stack = self.stack
            key, repeats, nested = stack.heads.key(scope), stack.repeats, REQUEST in scope
            try:
                if stack.neighbours.active and not nested:
                    send = stack.neighbours.answering(scope, send)
                if repeats.answers and not nested and (repeat := repeats.find(scope, key)) is not None:
                    return repeat.answer(send)
                head = stack.heads.find(key)
                if head is not None and head.address not in stack.allow_list:
                    stack.control.ensure_polling()
                    ctx = head.describe(scope)  # it has passed before
                    if not head.guarded and self._uncovered.looking:
                        receive, send = self._uncovered.watch(scope, receive, send)
                    if nested:
                        nest(ctx, scope, stack)
                        ctx.head = head.without_trip()  # what others have paid is another each time
                    if head.plain:
                        return Passage(stack, receive, send, ctx).run(app, scope)
                    return Exchange(stack, app, scope, receive, send, ctx).run()
            except Exception as error:  # noqa: BLE001 - as below
                stack.tell(stack.settle.fault, "heads", error)
                return refuse_unchecked(send)
            return self._http(stack, app, scope, receive, send, key)
        if kind == "websocket":
            return self._upgrade(self.stack, app, scope, receive, send)
        passed: Awaitable[None] = app(scope, receive, send)
        return passed

    async def serve_operators(self, scope: Any, receive: Any, send: Any) -> None:
        """One scope on a port of the operators' own: every path is theirs."""
        if scope["type"] == "http":
            await self._operators_http(self.stack, scope, receive, send, self.stack.door)
        elif scope["type"] == "websocket":
            await self._upgrade(self.stack, None, scope, receive, send, for_operator=True)
        elif scope["type"] == "lifespan":
            await _nothing_to_start(receive, send)

    def _http(self, stack: Stack, app: Any, scope: Any, receive: Any, send: Any, key: Hashable) -> Awaitable[None]:
        """A request for the app, or for operators."""
        try:
            place = stack.paths.place(scope)
            door = self._door(place)
            if door is not None:
                return self._operators_http(stack, scope, receive, send, door)
            ctx = describe(scope, stack, place)
            nest(ctx, scope, stack)
        except Exception as error:  # noqa: BLE001 - what cannot be described cannot be checked, so it does not pass
            stack.tell(stack.settle.fault, "describe", error)
            return refuse_unchecked(send)
        page = app if ctx.guarded else self._page(ctx, app)
        ctx.head_key, ctx.own_page = key, page is not app
        if not ctx.guarded and self._uncovered.looking:
            receive, send = self._uncovered.watch(scope, receive, send)
        return self._through_the_gates(stack, page, scope, receive, send, ctx)

    async def _operators_http(
        self, stack: Stack, scope: Any, receive: Any, send: Any, door: OperatorsDoor | None
    ) -> None:
        """A request for the operators' API."""
        app = None
        try:
            ctx = describe(scope, stack, stack.paths.place(scope))
            nest(ctx, scope, stack)
            if door is not None:
                app = await door.receive(scope, ctx)
        except Exception as error:  # noqa: BLE001 - as above
            stack.tell(stack.settle.fault, "describe", error)
            await refuse_unchecked(send)
            return
        await self._through_the_gates(stack, app, scope, receive, send, ctx)

    def _through_the_gates(
        self, stack: Stack, app: Any, scope: Any, receive: Any, send: Any, ctx: Context
    ) -> Awaitable[None]:
        stack.control.ensure_polling()
        if is_plain(stack, ctx):
            return Passage(stack, receive, send, ctx).run(app, scope)
        return Exchange(stack, app, scope, receive, send, ctx).run()

    def _page(self, ctx: Context, app: Any) -> Any:
        """What answers a request elsewhere than on a GraphQL path: a page of ours, or the app."""
        stack = self.stack
        if stack.metrics_access is not None and stack.metrics_access.asked_for(ctx):
            return self._exposition
        if stack.health_access is None:
            return app
        if stack.health_access.asked_for(ctx):
            return detailed(stack.health)
        return short(app) if is_short(ctx) else app

    async def _exposition(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - an ASGI app
        """The metrics, as an app that runs behind the gates like any other."""
        stack = self.stack
        stack.watch_host()
        stack.publish()
        await send_exposition(scope, send, stack.settle.metrics.page)

    def _door(self, place: Place) -> OperatorsDoor | None:
        """Where operators come in, if this is for them."""
        return None if place.below_admin is None or self.apart else self.stack.door

    async def _upgrade(
        self, stack: Stack, app: Any, scope: Any, receive: Any, send: Any, *, for_operator: bool = False
    ) -> None:
        """The upgrade to a WebSocket. Operators have none."""
        try:
            place = stack.paths.place(scope)
            ctx = describe(scope, stack, place)
            nest(ctx, scope, stack)
        except Exception as error:  # noqa: BLE001 - as above
            stack.settle.fault("describe", error)
            await send({"type": "websocket.close", "code": _INTERNAL_ERROR})
            return
        ctx.for_operator = for_operator or self._door(place) is not None
        stack.control.ensure_polling()
        if not ctx.guarded and self._uncovered.looking:
            receive, send = self._uncovered.watch(scope, receive, send)
        await Upgrade(stack, scope, send, ctx).run(app, receive)


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
