"""Finds guards inside an app, as far as the app shows its structure, for a log line at the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from fraiseql_guard.asgi.app_chain import chain


def names_inside(app: Any, guards: type) -> list[tuple[str, ...]]:
    """The names of each guard that is the first on some way into ``app``; guards further inside are logged by that one.
    ``guards`` is the class of all guards, whose instances have ``mount_options``.

    Searched are apps wrapped in the customary attribute ``app``, Starlette's middleware that is declared and not built
    yet, mounts, and routes with middleware of their own.
    """
    return list(dict.fromkeys(_found(app, guards, set())))


def _found(app: Any, guards: type, seen: set[int]) -> Iterator[tuple[str, ...]]:
    for each in chain(app):
        if id(each) in seen:
            return
        seen.add(id(each))
        if isinstance(each, guards):
            yield _names(each)
            return
        if (declared := _declared(each, guards)) is not None:
            yield declared
            return
        for route in _routes(each):
            yield from _found(getattr(route, "app", route), guards, seen)


def told(outer: Iterable[str], inner: Iterable[str]) -> str:
    """The warning about two guards around one app."""
    return (
        f"{' + '.join(outer)} and {' + '.join(inner)} guard the same app with something else in between: each decides "
        "what it is configured for, and one bucket of one store is charged once. Mounted directly on each other they "
        "become one"
    )


def _names(guard: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = guard.mount_options.names
    return names


def _routes(app: Any) -> Iterable[Any]:
    routes = getattr(app, "routes", ())
    return routes if isinstance(routes, list | tuple) else ()


def _declared(app: Any, guards: type) -> tuple[str, ...] | None:
    """The names of the first guards in the middleware that a Starlette app has declared; adjacent ones become one."""
    classes = [each.cls for each in getattr(app, "user_middleware", ()) if isinstance(each.cls, type)]
    for ours, group in groupby(classes, lambda cls: issubclass(cls, guards)):
        if ours:
            return tuple([cls.__name__ for cls in group])
    return None
