"""Apps with subscriptions, to be served by a real server: Strawberry and Ariadne with one schema, and others.

Each function makes an ASGI app with its GraphQL on /graphql and, on /probe, what a test may ask about it: the JSON of
``Observed.told`` with ``tasks``, ``rss_bytes``, ``blocks`` (pieces of memory that Python holds) and ``sockets`` (those
at work).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import ariadne
import psutil
import strawberry
from ariadne.asgi import GraphQL as AriadneGraphQL
from ariadne.asgi.handlers import GraphQLHTTPHandler, GraphQLTransportWSHandler, GraphQLWSHandler
from ariadne.contrib.sse import SSESubscriptionHandler
from graphql import build_schema
from starlette.responses import JSONResponse
from strawberry.asgi import GraphQL as StrawberryGraphQL
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    GRAPHQL_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)

from fraiseql_guard import Guard
from tests.support import socket_schema as resolvers
from tests.support.socket_schema import Observed

PROBE = "/probe"
T = "graphql-transport-ws"
L = "graphql-ws"
CLOSES = "SOCKET_APP_CLOSES"
"""Variable of ``closing_app``: ``unacknowledged`` or ``working``, a colon and the code."""


class Probed:
    """An app, with /probe beside it and a lifespan that does nothing."""

    def __init__(self, app: Any, observed: Observed) -> None:
        self._app = app
        self._observed = observed
        self._sockets = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http" and scope["path"] == PROBE:
            await JSONResponse(self._told())(scope, receive, send)
        elif scope["type"] == "websocket":
            self._sockets += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._sockets -= 1
        else:
            await self._app(scope, receive, send)

    def _told(self) -> dict[str, Any]:
        gc.collect()  # a generator that is only waiting to be collected is none that leaks
        process = psutil.Process()
        return {
            **self._observed.told(), "sockets": self._sockets, "tasks": len(asyncio.all_tasks()),
            "rss_bytes": process.memory_info().rss, "blocks": sys.getallocatedblocks(), "worker": process.pid,
        }  # fmt: skip


async def _live(receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@strawberry.type
class User:
    id: str
    deadline: float | None
    request_id: str | None

    @strawberry.field
    def friend(self) -> User:
        return self


@strawberry.type
class Query:
    @strawberry.field
    def me(self, info: strawberry.Info) -> User:
        return User(**resolvers.me(_scope(info)))

    @strawberry.field
    async def slow(self, info: strawberry.Info, seconds: float) -> float:
        return await resolvers.slow(_observed(info), seconds)


@strawberry.type
class Mutation:
    @strawberry.mutation
    def note(self, info: strawberry.Info, text: str) -> int:
        return resolvers.note(_observed(info), text)


@strawberry.type
class Subscription:
    # Each returns the generator itself: one around it would leave the inner one to the garbage collector.
    @strawberry.subscription
    def count(self, info: strawberry.Info, to: int, pause: float = 0.0) -> AsyncIterator[int]:
        return resolvers.count(_observed(info), to, pause)

    @strawberry.subscription
    def ticks(self, info: strawberry.Info, interval: float) -> AsyncIterator[int]:
        return resolvers.ticks(_observed(info), interval)

    @strawberry.subscription
    def silent(self, info: strawberry.Info) -> AsyncIterator[int]:
        return resolvers.silent(_observed(info))

    @strawberry.subscription
    def big(self, info: strawberry.Info, kilobytes: int) -> AsyncIterator[str]:
        return resolvers.big(_observed(info), kilobytes)

    @strawberry.subscription
    def failing(self, info: strawberry.Info, after: int) -> AsyncIterator[int]:
        return resolvers.failing(_observed(info), after)

    @strawberry.subscription
    def whoami(self, info: strawberry.Info, interval: float) -> AsyncIterator[str]:
        return resolvers.whoami(_observed(info), _scope(info), interval)


_PROTOCOLS = (
    GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL,
)  # fmt: skip


class _Strawberry(StrawberryGraphQL[Any, Any]):
    """Strawberry's app, whose resolvers find what a test observes in their context."""

    observed: Observed

    async def get_context(self, request: Any, response: Any) -> Any:
        return {"request": request, "response": response, "observed": self.observed}


def strawberry_app() -> Probed:
    """T, L, SSE and multipart by Strawberry, whose own guards (60 s for init, 100 operations) are as it comes."""
    observed = Observed()
    schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
    app = _Strawberry(schema, subscription_protocols=_PROTOCOLS)
    app.observed = observed
    return Probed(app, observed)


def ariadne_app() -> Probed:
    """T, L and SSE by Ariadne, which executes queries in the loop that receives."""
    observed = Observed()
    schema = _ariadne_schema()

    def graphql(sockets: Any) -> Any:
        return AriadneGraphQL(
            schema,
            context_value=lambda request, _data=None: {"request": request, "observed": observed},
            http_handler=GraphQLHTTPHandler(subscription_handlers=[SSESubscriptionHandler()]),
            websocket_handler=sockets,
        )

    current, legacy = graphql(GraphQLTransportWSHandler()), graphql(GraphQLWSHandler())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = legacy if scope["type"] == "websocket" and T not in scope["subprotocols"] else current
        await chosen(scope, receive, send)

    return Probed(app, observed)


def _ariadne_schema() -> Any:
    query, mutation = ariadne.QueryType(), ariadne.MutationType()
    user, subscription = ariadne.ObjectType("User"), ariadne.SubscriptionType()
    query.set_field("me", lambda _root, info: resolvers.me(_scope(info)))
    query.set_field("slow", lambda _root, info, seconds: resolvers.slow(_observed(info), seconds))
    mutation.set_field("note", lambda _root, info, text: resolvers.note(_observed(info), text))
    user.set_field("friend", lambda found, _info: found)
    for name in ("count", "ticks", "silent", "big", "failing"):
        subscription.set_source(name, _source(getattr(resolvers, name)))
    subscription.set_source(
        "whoami", lambda _root, info, interval: resolvers.whoami(_observed(info), _scope(info), interval)
    )
    for name in ("count", "ticks", "silent", "big", "failing", "whoami"):
        subscription.set_field(name, lambda event, _info, **_arguments: event)
    types = (query, mutation, user, subscription)
    return ariadne.make_executable_schema(resolvers.SDL, *types, convert_names_case=True)


def _source(generate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _root, info, **arguments: generate(_observed(info), **arguments)


def _scope(info: Any) -> Any:
    return info.context["request"].scope


def _observed(info: Any) -> Observed:
    return info.context["observed"]


def guarded_strawberry_app() -> Guard:
    """The same behind a guard that the server's FRAISEQL_* variables configure."""
    return Guard(strawberry_app(), schema=build_schema(resolvers.SDL))


def guarded_ariadne_app() -> Guard:
    """The same behind a guard that the server's FRAISEQL_* variables configure."""
    return Guard(ariadne_app(), schema=build_schema(resolvers.SDL))


def echo_app() -> Probed:
    """A chat that is no GraphQL: it accepts every socket and sends back what it gets."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await JSONResponse({})(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            content = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
            await send({"type": "websocket.send", **content})

    return Probed(app, Observed())


def guarded_echo_app() -> Guard:
    """The same behind a guard that the server's FRAISEQL_* variables configure."""
    return Guard(echo_app())


def closing_app() -> Probed:
    """Speaks T and closes its sockets, with a code, either instead of the ack or once an operation is at work."""
    moment, _, code = os.environ[CLOSES].partition(":")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": T})
        await receive()
        if moment == "working":
            await send({"type": "websocket.send", "text": '{"type": "connection_ack"}'})
            await receive()
        await send({"type": "websocket.close", "code": int(code)})

    return Probed(app, Observed())


def guarded_closing_app() -> Guard:
    """The same behind a guard that the server's FRAISEQL_* variables configure."""
    return Guard(closing_app())
