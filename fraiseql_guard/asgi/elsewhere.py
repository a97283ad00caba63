"""Answers 404 on other paths than GraphQL's, for an app that is a GraphQL endpoint and nothing else.

By itself such an app answers on every path, also on paths that no setting names and where no operation is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard.asgi.app_routes import is_endpoint, shows_routes
from fraiseql_guard.asgi.logins import MARK
from fraiseql_guard.core.context import outers
from fraiseql_guard.core.request import context_of
from fraiseql_guard.core.settings import name_of

_DEEPEST: Final = 50


class OnGraphQLPaths:
    """A GraphQL endpoint that is asked only on GraphQL paths; on other paths the answer is a 404 (RFC 9457) that names
    them.

    It wraps the endpoint itself, so that middleware between guard and endpoint may answer paths of its own. Of several
    guards the innermost that enforces anything decides: a guard in monitor mode takes no path away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        ctx, guard = context_of(scope), scope.get(MARK)
        deciding = None if ctx is None else next((each for each in (ctx, *outers(ctx)) if each.enforced), None)
        if guard is None or deciding is None or deciding.guarded:
            await self.app(scope, receive, send)
        else:
            await _answer_not_found(guard.settings.graphql_paths, scope, send)


def on_graphql_paths(app: Any, guards: type) -> Any:
    """The app, with the GraphQL endpoint in it wrapped in OnGraphQLPaths. The endpoint is looked for in the app itself
    and behind middleware that shows its ``app``, but not behind another instance of ``guards``, which wraps its own."""
    holder: Any = None
    for each in _inwards(app, guards):
        if isinstance(each, OnGraphQLPaths):
            return app
        if is_endpoint(each):
            return _with_endpoint(app, holder, OnGraphQLPaths(each))
        holder = each
    return app


def is_on_graphql_paths(app: Any, guards: type) -> bool:
    """Whether on_graphql_paths has found an endpoint in this app."""
    return any(isinstance(each, OnGraphQLPaths) for each in _inwards(app, guards))


def _inwards(app: Any, guards: type) -> Iterator[Any]:
    """An app and the apps behind it, as far as each shows its ``app``: up to a guard, or to an app with routes."""
    for _ in range(_DEEPEST):
        if app is None or isinstance(app, guards) or shows_routes(app):
            return
        method_of = getattr(app, "__self__", None)
        if method_of is None or is_endpoint(app):
            yield app
        app = getattr(app, "app", None) if method_of is None else method_of


def _with_endpoint(app: Any, holder: Any, endpoint: OnGraphQLPaths) -> Any:
    """The app, with ``endpoint`` put into ``holder``, the middleware around it. Without a holder, ``endpoint``."""
    if holder is None:
        return endpoint
    try:
        holder.app = endpoint
    except AttributeError:  # the endpoint cannot be exchanged: the whole app is served only on GraphQL paths
        return OnGraphQLPaths(app)
    return app


async def _answer_not_found(graphql_paths: Iterable[str], scope: Scope, send: Send) -> None:
    """Answer 404; an upgrade that the server cannot answer over HTTP is closed instead, which is a 403."""
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = f"websocket.{kind}"
        if kind not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008, "reason": "Not Found"})
            return
    detail = f"GraphQL is served on {', '.join(graphql_paths)} alone ({name_of('graphql_paths')})."
    body = orjson.dumps({"type": "about:blank", "title": "Not Found", "status": 404, "detail": detail})
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{kind}.start", "status": 404, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})
