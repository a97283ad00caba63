"""Guards further inside an app, as far as the app shows what it is made of: for one line at the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from fraiseql_guard.asgi.app_chain import chain


def names_inside(app: Any, guards: type) -> list[tuple[str, ...]]:
    """The names of each guard that decides next, on some of the ways into ``app``; those further inside are its own
    affair. ``guards`` is the class of them all, whose instances have ``wishes``.

    Looked for: apps wrapped in the customary attribute ``app``, Starlette's middleware that is only declared as yet,
    its mounts, and its routes with middleware of their own.
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
    """What is said of two guards around one app."""
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
    """The first ones that a Starlette app will build its own stack from. Neighbours become one."""
    classes = [each.cls for each in getattr(app, "user_middleware", ()) if isinstance(each.cls, type)]
    for ours, group in groupby(classes, lambda cls: issubclass(cls, guards)):
        if ours:
            return tuple([cls.__name__ for cls in group])
    return None
