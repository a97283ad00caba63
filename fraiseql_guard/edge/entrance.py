"""Dispatches ASGI scopes: HTTP becomes an exchange, a WebSocket on a GraphQL path is refused, the rest passes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final

import orjson

from fraiseql_guard.context import Context
from fraiseql_guard.edge.describe import describe
from fraiseql_guard.edge.exchange import Exchange
from fraiseql_guard.edge.health_pages import detailed, is_short, short
from fraiseql_guard.edge.passage import Passage, is_plain
from fraiseql_guard.edge.stack import OperatorsDoor, Stack
from fraiseql_guard.settings import name_of
from fraiseql_guard.signals import GUARD_FAULT, WEBSOCKET_REFUSED, Protection
from fraiseql_guard.telemetry.exposition import CONTENT_TYPE

_NO_GRAPHQL_AFTER_SECONDS: Final = 600.0


class Entrance:
    """The door of the stack in force. Holds what concerns the process, not a request."""

    def __init__(self, stack: Stack, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stack = stack  # exchanged when an operator changes the settings in force
        self._clock = clock
        self._first_request_at: float | None = None
        self._graphql_seen = False
        self.apart = False
        """Whether operators come in elsewhere, so that their path is the app's."""

    def serve(self, app: Any, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """One scope of any type. Unknown types pass through unchanged."""
        kind = scope["type"]
        if kind == "http":
            stack = self.stack
            key, repeats = stack.heads.key(scope), stack.repeats
            try:
                if repeats.answers and (repeat := repeats.find(scope, key)) is not None:
                    return repeat.answer(send)
                head = stack.heads.find(key)
                if head is not None and head.address not in stack.allow_list:
                    stack.control.ensure_polling()
                    ctx = head.describe(scope)  # it has passed before
                    if head.plain:
                        return Passage(stack, receive, send, ctx).run(app, scope)
                    return Exchange(stack, app, scope, receive, send, ctx).run()
            except Exception as error:  # noqa: BLE001 - as below
                stack.tell(stack.settle.fault, "heads", error)
                return refuse_unchecked(send)
            door = self._door(scope)
            if door is None:
                return self._http(stack, app, scope, receive, send, key)
            return self._operators_http(app, scope, receive, send, door)
        if kind == "websocket" and self._closed_to_sockets(scope):
            return _refuse_websocket(scope, send)
        passed: Awaitable[None] = app(scope, receive, send)
        return passed

    async def serve_operators(self, scope: Any, receive: Any, send: Any) -> None:
        """One scope on a port of the operators' own: every path is theirs."""
        if scope["type"] == "http":
            await self._operators_http(None, scope, receive, send, self.stack.door)
        elif scope["type"] == "websocket":
            await _refuse_websocket(scope, send)
        elif scope["type"] == "lifespan":
            await _nothing_to_start(receive, send)

    def _http(self, stack: Stack, app: Any, scope: Any, receive: Any, send: Any, key: Hashable) -> Awaitable[None]:
        """A request for the app."""
        try:
            ctx = describe(scope, stack)
        except Exception as error:  # noqa: BLE001 - what cannot be described cannot be checked, so it does not pass
            stack.tell(stack.settle.fault, "describe", error)
            return refuse_unchecked(send)
        page = app if ctx.guarded else self._page(ctx, app)
        ctx.head_key, ctx.own_page = key, page is not app
        return self._through_the_gates(stack, page, scope, receive, send, ctx)

    async def _operators_http(self, app: Any, scope: Any, receive: Any, send: Any, door: OperatorsDoor | None) -> None:
        """A request for the operators' API."""
        stack = self.stack
        try:
            ctx = describe(scope, stack)
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
        if not self._graphql_seen:
            self._look_for_graphql(ctx.guarded)
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
        body = stack.settle.metrics.render()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _look_for_graphql(self, guarded: bool) -> None:
        """Warn once if GraphQL seems to be served elsewhere."""
        now = self._clock()
        if self._first_request_at is None:
            self._first_request_at = now
        if guarded:
            self._graphql_seen = True
        elif now - self._first_request_at > _NO_GRAPHQL_AFTER_SECONDS:
            self._graphql_seen = True
            paths = ", ".join(self.stack.settings.graphql_paths)
            self.stack.settle.warn(
                f"no GraphQL request under {paths} within ten minutes: is {name_of('graphql_paths')} right?"
            )

    def _door(self, scope: Any) -> OperatorsDoor | None:
        """Where operators come in, if this is for them."""
        door = self.stack.door
        return door if door is not None and not self.apart and door.asked_for(scope) else None

    def _closed_to_sockets(self, scope: Any) -> bool:
        if self._door(scope) is not None:
            return True
        return self._refuses_sockets() and self.stack.paths.match(scope) is not None

    def _refuses_sockets(self) -> bool:
        return any(
            self.stack.enforces(each) for each in (Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS)
        )


async def _nothing_to_start(receive: Any, send: Any) -> None:
    """The lifespan of a port that shares everything with another."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def refuse_unchecked(send: Any) -> None:
    """Answer a request of which nothing could be decided: it does not pass."""
    code = GUARD_FAULT
    body = orjson.dumps({"errors": [{"message": code.message, "extensions": {"code": code.name}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": code.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(scope: Any, send: Any) -> None:
    """Operations over a socket would pass unmeasured. A close before accept is a 403 (ASGI specification)."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": WEBSOCKET_REFUSED.message})
        return
    body = orjson.dumps(
        {"errors": [{"message": WEBSOCKET_REFUSED.message, "extensions": {"code": WEBSOCKET_REFUSED.name}}]}
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": WEBSOCKET_REFUSED.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
