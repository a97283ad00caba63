"""Finds the routes of an app, as far as it shows them, and those that speak GraphQL without being guarded."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from starlette.routing import Router

from fraiseql_guard.asgi.paths import PathTable
from fraiseql_guard.core.signals import Protection

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
"""Classes of apps that are a GraphQL endpoint and nothing else: they answer on every path."""
_NAMED: Final = re.compile(r"(^|[/_.-])(graphql|gql)", re.IGNORECASE)
_DEEPEST: Final = 20
LOOSE: Final = "*"
"""Ends a path that stands for all paths with its beginning: mounts of Litestar and Hypercorn take /graphqlx for a path
below /graphql."""


@dataclass(frozen=True, slots=True)
class GuardAround:
    """A guard around a route, or Starlette's declaration of a guard that is not built yet, and the prefix of the mounts
    around it."""

    guard: Any
    mount: str

    @property
    def protections(self) -> frozenset[Protection]:
        """The protections that the guard is mounted for, those of the guards that it has taken over included."""
        options = getattr(self.guard, "mount_options", None) or getattr(self.guard, "cls", self.guard)
        found: frozenset[Protection] = options.protections
        return found


@dataclass(frozen=True, slots=True)
class AppRoute:
    """One route: its path (a template), its methods (empty: any method, or a WebSocket), whether it speaks GraphQL, and
    the guards around it, the outermost first."""

    path: str
    methods: tuple[str, ...]
    graphql: bool
    guards: tuple[GuardAround, ...] = ()


def routes_of(app: Any, guards: type | None = None) -> tuple[AppRoute, ...]:
    """The routes of a Starlette, FastAPI, Litestar or Quart app, also behind middleware that shows its ``app``.

    Empty if the app shows none. Inner guards, which are instances of ``guards``, are noted on the routes that they
    guard."""
    return tuple(dict.fromkeys(_walk(app, "", _RouteWalk(guards, (), 0))))


def unguarded_graphql(
    app: Any,
    table: PathTable,
    guards: type | None = None,
    mount: str = "",
    needed: frozenset[Protection] = frozenset(),
) -> tuple[str, ...]:
    """Paths of routes that speak GraphQL, that no configured path covers, and whose inner guards do not have all
    ``needed`` protections.

    ``mount`` is the root path under which the app is mounted.
    """
    routes = [route for route in routes_of(app, guards) if route.graphql and not _guarded_inside(route, needed)]
    return tuple(dict.fromkeys(route.path for route in routes if not _covers(table, route, mount)))


def guarded_endpoints(app: Any, table: PathTable) -> frozenset[str]:
    """Paths of routes that speak GraphQL by POST and are covered by a configured path, as far as the app shows them."""
    routes = [route for route in routes_of(app) if route.graphql and _covers(table, route)]
    return frozenset(route.path.rstrip("/") for route in routes if not route.methods or "POST" in route.methods)


def is_endpoint(app: Any) -> bool:
    """Whether an app, or the app that it is a method or a partial of, is a GraphQL endpoint and nothing else."""
    while isinstance(app, partial):
        app = app.func
    app = getattr(app, "__self__", app)
    return any(f"{each.__module__}.{each.__qualname__}" in _ENDPOINTS for each in type(app).__mro__)


def shows_routes(app: Any) -> bool:
    """Whether an app shows routes of its own."""
    return bool(_listed(app)) or _url_map(app) is not None or any(True for _ in _beside_routes(app))


def _guarded_inside(route: AppRoute, needed: frozenset[Protection]) -> bool:
    found = [each.protections for each in route.guards]
    return bool(found) and needed <= frozenset().union(*found)


def _covers(table: PathTable, route: AppRoute, mount: str = "") -> bool:
    return table.place({"path": mount.rstrip("/") + route.path, "root_path": mount}).graphql is not None


@dataclass(frozen=True, slots=True)
class _RouteWalk:
    """The state of a walk through an app: the class of guards (None: none are looked for), the guards met on the way,
    and the number of apps it is inside of."""

    classes: type | None
    guards: tuple[GuardAround, ...]
    level: int

    def into(self, app: Any, prefix: str) -> tuple[Any, _RouteWalk]:
        """The first app at or behind ``app`` that shows routes or is a GraphQL library's (None if there is none), and
        the walk that goes on there."""
        met = self.guards
        for _ in range(_DEEPEST):
            met += tuple(GuardAround(each, prefix) for each in self._guards_at(app))
            if app is None or shows_routes(app) or _of_library(app):
                break
            app = getattr(app, "app", None) or getattr(app, "__self__", None)  # Quart's asgi_app is a method
        return app, _RouteWalk(self.classes, met, self.level + 1)

    def _guards_at(self, app: Any) -> Iterator[Any]:
        """The app itself if it is a guard, and the declarations of guards that a Starlette app will build."""
        if self.classes is None:
            return
        if isinstance(app, self.classes):
            yield app
        for each in getattr(app, "user_middleware", None) or ():
            if isinstance(each.cls, type) and issubclass(each.cls, self.classes):
                yield each


def _walk(app: Any, prefix: str, walk: _RouteWalk) -> Iterator[AppRoute]:
    if walk.level > _DEEPEST:
        return
    app, walk = walk.into(app, prefix)
    if _url_map(app) is not None:
        yield from _quart_routes(app, prefix, walk.guards)
        return
    if _of_library(app) and not shows_routes(app) and not hasattr(app, "application_mapping"):
        # A library's own app answers on every path, but for Strawberry's router of Channels, which has patterns.
        yield AppRoute(prefix or "/", (), True, walk.guards)
        return
    for route in _listed(app):
        yield from _routes_at(route, prefix, walk)
    for path, inner in _beside_routes(app):
        for route in _walk(inner, prefix + path, walk):
            yield route
            if path and route.path == prefix + path:
                yield _loose(route)


def _routes_at(route: Any, prefix: str, walk: _RouteWalk) -> Iterator[AppRoute]:
    """The AppRoutes that one entry in an app's list of routes leads to: itself, or those of a mounted app."""
    path = prefix + (getattr(route, "path", None) or "")
    endpoint, inner = getattr(route, "endpoint", None), getattr(route, "app", None)
    below = list(_walk(inner, path, walk)) if endpoint is None else ()  # a mount or a host
    if below:
        yield from below
    elif handlers := _litestar_handlers(route):
        for handler in handlers:
            found = _route(path, getattr(handler, "http_methods", ()), getattr(handler, "fn", handler), walk.guards)
            yield found
            if getattr(handler, "is_mount", False):
                yield _loose(found)
    else:  # a plain route: the apps behind it keep its prefix
        innermost, through = walk.into(inner, prefix)
        speaker = innermost if _of_library(innermost) else endpoint
        yield _route(path, getattr(route, "methods", ()), speaker, through.guards)


def _loose(route: AppRoute) -> AppRoute:
    """The route for all paths that begin like this one, because the app compares only the beginning of the text."""
    return replace(route, path=f"{route.path}{LOOSE}")


def _litestar_handlers(route: Any) -> Iterable[Any]:
    """The handlers of a Litestar route: several for HTTP, one for a WebSocket or a mounted app; () for other routes."""
    single = getattr(route, "route_handler", None)
    return getattr(route, "route_handlers", None) or (() if single is None else (single,))


def _quart_routes(app: Any, prefix: str, guards: tuple[GuardAround, ...]) -> Iterator[AppRoute]:
    views = getattr(app, "view_functions", {})
    for rule in _url_map(app).iter_rules():
        yield _route(prefix + rule.rule, rule.methods, views.get(rule.endpoint), guards)


def _url_map(app: Any) -> Any:
    url_map = getattr(app, "url_map", None)
    return url_map if hasattr(url_map, "iter_rules") else None


def _beside_routes(app: Any) -> Iterator[tuple[str, Any]]:
    """Inner apps that are in no list of routes, each with the beginning of its paths: the mounts of Hypercorn's
    DispatcherMiddleware, and the default app of a Starlette router, which it asks if no route matches."""
    mounts, router = getattr(app, "mounts", None), getattr(app, "router", app)
    if isinstance(mounts, dict):
        yield from ((path.rstrip("/"), inner) for path, inner in mounts.items())
    if isinstance(router, Router) and getattr(router.default, "__self__", None) is not router:
        yield "", router.default


def _listed(app: Any) -> Iterable[Any]:
    routes = getattr(app, "routes", None)
    if not isinstance(routes, (list, tuple)):
        return ()
    fastapi = sys.modules.get("fastapi.routing")  # newer versions list included routers only by iter_route_contexts
    iterate = getattr(fastapi, "iter_route_contexts", None)
    return routes if iterate is None else list(iterate(routes))


def _route(path: str, methods: Iterable[Any] | None, endpoint: Any, guards: tuple[GuardAround, ...]) -> AppRoute:
    named = tuple(sorted(str(method) for method in methods or ()))
    return AppRoute(path or "/", named, bool(_NAMED.search(path)) or _of_library(endpoint), guards)


def _of_library(endpoint: Any) -> bool:
    """Whether an endpoint belongs to a GraphQL library: its function or method, or an object of its class or of a
    derived class."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    classes = endpoint.__mro__ if isinstance(endpoint, type) else type(endpoint).__mro__
    modules = [getattr(endpoint, "__module__", None), *(each.__module__ for each in classes)]
    return not _LIBRARIES.isdisjoint(str(module).partition(".")[0] for module in modules)
