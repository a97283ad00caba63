"""The routes of an app, as far as it shows them, and which of them speak GraphQL without being guarded."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fraiseql_guard.asgi.paths import PathTable

_LIBRARIES: Final = frozenset(
    {"ariadne", "graphene", "graphql_server", "starlette_graphene", "starlette_graphene3", "strawberry", "tartiflette"}
)
"""Packages whose endpoints speak GraphQL."""
_ENDPOINTS: Final = frozenset(
    {
        "ariadne.asgi.graphql.GraphQL",
        "starlette_graphene3.GraphQLApp",
        "strawberry.asgi.GraphQL",
    }
)
"""Classes of apps that are a GraphQL endpoint and nothing else, on whatever path they are asked."""
_NAMED: Final = re.compile(r"(^|[/_.-])(graphql|gql)", re.IGNORECASE)
_DEEPEST: Final = 20


@dataclass(frozen=True, slots=True)
class AppRoute:
    """One route: its path (a template), its methods (empty: any, or a WebSocket), whether it speaks GraphQL, and the
    innermost guard around it: the guard, or Starlette's declaration of one that is not built yet."""

    path: str
    methods: tuple[str, ...]
    graphql: bool
    guard: Any = None


def routes_of(app: Any, guards: type | None = None) -> tuple[AppRoute, ...]:
    """The routes of a Starlette, FastAPI, Litestar or Quart app, also behind middleware that shows its ``app``.

    Empty if the app shows none. Instances of ``guards`` further inside are noted on the routes that they guard.
    """
    return tuple(dict.fromkeys(_walk(app, "", _RouteWalk(guards, None, 0))))


def unguarded_graphql(app: Any, table: PathTable, guards: type | None = None, mount: str = "") -> tuple[str, ...]:
    """Paths of routes that speak GraphQL and are covered by no configured path, nor guarded further inside.

    ``mount`` is the root path under which the app stands.
    """
    routes = [route for route in routes_of(app, guards) if route.graphql and route.guard is None]
    return tuple(dict.fromkeys(route.path for route in routes if not _covers(table, route, mount)))


def guarded_endpoints(app: Any, table: PathTable) -> frozenset[str]:
    """Paths of routes that speak GraphQL by POST and are covered by a configured path, as far as the app shows them."""
    routes = [route for route in routes_of(app) if route.graphql and _covers(table, route)]
    return frozenset(route.path.rstrip("/") for route in routes if not route.methods or "POST" in route.methods)


def is_endpoint(app: Any) -> bool:
    """Whether an app, also behind middleware that shows its ``app``, is a GraphQL endpoint and nothing else."""
    innermost, _ = _RouteWalk(None, None, 0).into(app)
    return any(f"{each.__module__}.{each.__qualname__}" in _ENDPOINTS for each in type(innermost).__mro__)


def _covers(table: PathTable, route: AppRoute, mount: str = "") -> bool:
    return table.place({"path": mount.rstrip("/") + route.path, "root_path": mount}).graphql is not None


@dataclass(frozen=True, slots=True)
class _RouteWalk:
    """Where a walk stands: which classes are guards, the last one that it met, and how deep it is."""

    guards: type | None
    guard: Any
    level: int

    def into(self, app: Any) -> tuple[Any, _RouteWalk]:
        """The first app with routes of its own behind this one, and the walk that goes on there."""
        guard = self.guard
        for _ in range(_DEEPEST):
            guard = self._guard_at(app) or guard
            if app is None or _listed(app) or _url_map(app) is not None or _of_library(app):
                break
            app = getattr(app, "app", None) or getattr(app, "__self__", None)  # Quart's asgi_app is a method
        return app, _RouteWalk(self.guards, guard, self.level + 1)

    def _guard_at(self, app: Any) -> Any:
        """The app itself if it is a guard, or the declaration of one that a Starlette app will build."""
        guards = self.guards
        if guards is None or isinstance(app, guards):
            return app if guards is not None else None
        declared = getattr(app, "user_middleware", None) or ()
        return next((each for each in declared if isinstance(each.cls, type) and issubclass(each.cls, guards)), None)


def _walk(app: Any, prefix: str, walk: _RouteWalk) -> Iterator[AppRoute]:
    if walk.level > _DEEPEST:
        return
    app, walk = walk.into(app)
    if (url_map := _url_map(app)) is not None:  # Quart
        views = getattr(app, "view_functions", {})
        for rule in url_map.iter_rules():
            yield _route(prefix + rule.rule, rule.methods, views.get(rule.endpoint), walk.guard)
        return
    if _of_library(app) and not _listed(app):  # a library's own app answers on every path
        yield AppRoute(prefix or "/", (), True, walk.guard)
        return
    for route in _listed(app):
        path = prefix + (getattr(route, "path", None) or "")
        endpoint, handlers = getattr(route, "endpoint", None), getattr(route, "route_handlers", None)
        inner = getattr(route, "app", None)
        below = list(_walk(inner, path, walk)) if endpoint is None else ()  # a mount or a host
        if below:
            yield from below
        elif handlers:  # Litestar
            for handler in handlers:
                yield _route(path, getattr(handler, "http_methods", ()), getattr(handler, "fn", handler), walk.guard)
        else:
            yield _route(path, getattr(route, "methods", ()), endpoint or inner, walk.into(inner)[1].guard)


def _url_map(app: Any) -> Any:
    url_map = getattr(app, "url_map", None)
    return url_map if hasattr(url_map, "iter_rules") else None


def _listed(app: Any) -> Iterable[Any]:
    routes = getattr(app, "routes", None)
    if not isinstance(routes, (list, tuple)):
        return ()
    fastapi = sys.modules.get("fastapi.routing")  # newer ones keep included routers apart, and show them by this
    iterate = getattr(fastapi, "iter_route_contexts", None)
    return routes if iterate is None else list(iterate(routes))


def _route(path: str, methods: Iterable[Any] | None, endpoint: Any, guard: Any) -> AppRoute:
    named = tuple(sorted(str(method) for method in methods or ()))
    return AppRoute(path or "/", named, bool(_NAMED.search(path)) or _of_library(endpoint), guard)


def _of_library(endpoint: Any) -> bool:
    """Whether an endpoint is one of a GraphQL library: its function, its method, an object of a class of its, or of one
    that is derived from that."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    classes = endpoint.__mro__ if isinstance(endpoint, type) else type(endpoint).__mro__
    modules = [getattr(endpoint, "__module__", None), *(each.__module__ for each in classes)]
    return not _LIBRARIES.isdisjoint(str(module).partition(".")[0] for module in modules)
