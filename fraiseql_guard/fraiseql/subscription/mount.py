"""Puts subscriptions into a FraiseQL app: one route before FraiseQL's own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from graphql import GraphQLSchema
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from fraiseql_guard.asgi.app_chain import chain, schema_of
from fraiseql_guard.fraiseql.subscription.execution import FRAISEQL_PATH, HostExecution, endpoint_of
from fraiseql_guard.fraiseql.subscription.inner_request import INNER
from fraiseql_guard.fraiseql.subscription.socket_session import SocketSession
from fraiseql_guard.fraiseql.subscription.sse import EVENT_STREAM, EventStreams, accepted


def subscriptions(app: Any, path: str = FRAISEQL_PATH, *, init_seconds: float = 10.0) -> Any:
    """Serve the subscriptions of a FraiseQL app: ``app = subscriptions(create_fraiseql_app(...))``. Returns ``app``.

    Clients reach them on ``path`` by WebSocket, with the protocols ``graphql-transport-ws`` and ``graphql-ws``, and as
    server-sent events. Sockets carry queries and mutations as well, which FraiseQL's own endpoint executes. Every
    document is validated; limits are the guard's, which may be mounted before or after this call. A socket whose client
    has not sent its connection_init after ``init_seconds`` is closed.

    TypeError if ``app`` is no FraiseQL app; ValueError if its schema has no subscriptions, or has them on ``path``.
    """
    host = next((each for each in chain(app) if isinstance(each, FastAPI)), None)
    schema = schema_of(host)
    if host is None or schema is None:
        raise TypeError(f"subscriptions() takes the app that create_fraiseql_app returns, not {type(app).__name__}")
    _check(host, schema, path)
    host.router.routes.insert(0, SubscriptionRoute(path, host, init_seconds=init_seconds))
    return app


def _check(host: FastAPI, schema: GraphQLSchema, path: str) -> None:
    if not path.startswith("/"):
        raise ValueError(f"path is {path!r}, and must begin with a slash")
    if schema.subscription_type is None:
        raise ValueError(
            "the app's schema has no subscriptions: define one with @fraiseql.subscription before the app is created"
        )
    if any(isinstance(each, SubscriptionRoute) and each.at == path for each in host.router.routes):
        raise ValueError(f"the subscriptions of this app are on {path} already")
    try:
        endpoint_of(host)
    except LookupError as problem:
        raise TypeError(f"subscriptions() takes the app that create_fraiseql_app returns: {problem}") from None


class SubscriptionRoute(BaseRoute):
    """Serves sockets on a path, and requests there that accept an event stream. Other requests go to the routes behind
    it.

    It has no attribute ``path``: FraiseQL removes routes with its own path when its schema is refreshed.
    """

    def __init__(self, at: str, host: FastAPI, *, init_seconds: float) -> None:
        self.at = at
        self._execution = HostExecution(host)
        self._streams = EventStreams(self._execution, _RoutesBehind(host))
        self._init_seconds = init_seconds

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FULL for a scope that is served here, else NONE."""
        if scope["type"] not in ("http", "websocket") or INNER in scope or _path(scope) != self.at:
            return Match.NONE, {}
        if scope["type"] == "http" and not (scope["method"] in ("GET", "POST") and EVENT_STREAM in accepted(scope)):
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.handle, "path_params": {}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a socket or a request to its end."""
        if scope["type"] == "websocket":
            await SocketSession(self._execution, scope, receive, send, init_seconds=self._init_seconds).run()
        else:
            await self._streams(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Raise NoMatchFound: this route has no name."""
        raise NoMatchFound(name, path_params)


def _path(scope: Scope) -> str:
    """The path as the app's routes see it: without the root path that a server has put before it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


class _RoutesBehind:
    """An app of the routes behind a SubscriptionRoute."""

    def __init__(self, host: FastAPI) -> None:
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._host.router({**scope, INNER: True}, receive, send)
