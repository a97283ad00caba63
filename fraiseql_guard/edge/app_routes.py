"""The routes of an app, as far as it shows them, and which of them speak GraphQL without being guarded."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fraiseql_guard.edge.paths import PathTable

_LIBRARIES: Final = frozenset(
    {"ariadne", "graphene", "graphql_server", "starlette_graphene", "starlette_graphene3", "strawberry", "tartiflette"}
)
"""Packages whose endpoints speak GraphQL."""
_NAMED: Final = re.compile(r"(^|[/_.-])(graphql|gql)", re.IGNORECASE)
_DEEPEST: Final = 20


@dataclass(frozen=True, slots=True)
class AppRoute:
    """One route: its path (a template), its methods (empty: any, or a WebSocket), and whether it speaks GraphQL."""

    path: str
    methods: tuple[str, ...]
    graphql: bool


def routes_of(app: Any) -> tuple[AppRoute, ...]:
    """The routes of a Starlette, FastAPI, Litestar or Quart app, also behind middleware that shows its ``app``.

    Empty if the app shows none.
    """
    for each in _unwrapped(app):
        found = tuple(_walk(each, "", 0))
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def unguarded_graphql(app: Any, table: PathTable) -> tuple[str, ...]:
    """Paths of routes that speak GraphQL and are covered by no configured path."""
    paths = [route.path for route in routes_of(app) if route.graphql and covered_by(route, table) is None]
    return tuple(dict.fromkeys(paths))


def covered_by(route: AppRoute, table: PathTable) -> str | None:
    """The configured GraphQL path that covers a route."""
    return table.place({"path": route.path}).graphql


def _unwrapped(app: Any) -> Iterator[Any]:
    for _ in range(_DEEPEST):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _walk(app: Any, prefix: str, level: int) -> Iterator[AppRoute]:
    if level > _DEEPEST:
        return
    url_map = getattr(app, "url_map", None)
    if url_map is not None and hasattr(url_map, "iter_rules"):  # Quart
        views = getattr(app, "view_functions", {})
        for rule in url_map.iter_rules():
            yield _route(prefix + rule.rule, rule.methods, views.get(rule.endpoint))
        return
    for route in _listed(app):
        path = prefix + (getattr(route, "path", None) or "")
        inner = getattr(route, "app", None)
        below = list(_walk(inner, path, level + 1)) if _is_mount(route) else []
        handlers = getattr(route, "route_handlers", None)  # Litestar
        if below:
            yield from below
        elif handlers:
            for handler in handlers:
                yield _route(path, getattr(handler, "http_methods", ()), getattr(handler, "fn", handler))
        else:
            yield _route(path, getattr(route, "methods", ()), getattr(route, "endpoint", None) or inner)


def _listed(app: Any) -> Iterable[Any]:
    routes = getattr(app, "routes", None)
    if not isinstance(routes, (list, tuple)):
        return ()
    fastapi = sys.modules.get("fastapi.routing")  # newer ones keep included routers apart, and show them by this
    iterate = getattr(fastapi, "iter_route_contexts", None)
    return routes if iterate is None else list(iterate(routes))


def _is_mount(route: Any) -> bool:
    """A mount or a host: a route that leads to an app with routes of its own."""
    return getattr(route, "endpoint", None) is None and bool(_listed(getattr(route, "app", None)))


def _route(path: str, methods: Iterable[Any] | None, endpoint: Any) -> AppRoute:
    named = tuple(sorted(str(method) for method in methods or ()))
    return AppRoute(path or "/", named, bool(_NAMED.search(path)) or _library(endpoint) in _LIBRARIES)


def _library(endpoint: Any) -> str:
    """The package that an endpoint comes from: a function's, a method's, or an instance's class's."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    module = getattr(endpoint, "__module__", None) or type(endpoint).__module__
    return str(module).partition(".")[0]
