"""Logs the start of a guard: one line with its protections, and warnings that an operator should look at."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from starlette.types import Scope

from fraiseql_guard.asgi.app_routes import is_endpoint, routes_of, unguarded_graphql
from fraiseql_guard.asgi.mount_options import MountOptions
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.startup_warnings import startup_warnings
from fraiseql_guard.core.settings import name_of, warnings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.telemetry.metrics import multiprocess

_SHOWN: Final = 10
"""Most paths that a sentence names."""


def announce(runtime: Runtime, mount_options: MountOptions, app: Any, *, scope: Scope, guards: type) -> None:
    """Write the line and the warnings. Never raises.

    ``app`` is what the guard wraps, ``scope`` the first one that it sees, ``guards`` the class of all guards.
    """
    settings = runtime.settings
    fields = {
        "protections": sorted(each.value for each in Protection if runtime.mounted(each)),
        "mode": settings.mode,
        "store": "redis" if settings.redis_url else "memory",
        "graphql_paths": list(settings.graphql_paths),
    }
    with suppress(Exception):  # signals are no reason to fail a request
        sentences = [
            *warnings(),
            *startup_warnings(mount_options, app),
            *_unguarded_paths(runtime, app, scope=scope, guards=guards),
        ]
        if runtime.recorder.metrics.shares_its_pid:
            sentences.append(multiprocess.SHARED_PID)
        runtime.recorder.process.started(fields, sentences)


def _unguarded_paths(runtime: Runtime, app: Any, *, scope: Scope, guards: type) -> list[str]:
    """A sentence about routes that speak GraphQL and are not guarded, where the app shows its routes."""
    if runtime.tell(is_endpoint, app):
        return []  # it gets no request for another path (asgi/elsewhere.py)
    if runtime.tell(routes_of, app):
        # A guard inside a mount is told of no start: then the first scope is a request's, and says where the mount is.
        found = runtime.tell(unguarded_graphql, app, runtime.paths, guards, scope.get("root_path") or "")
    else:
        found = runtime.tell(unguarded_graphql, scope.get("app"), runtime.paths, guards)
    if not found:
        return []
    variable = name_of("graphql_paths")
    served = f"GraphQL is served on {', '.join(found[:_SHOWN])} and not guarded there"
    if found == ("/",):
        # Under / every path is GraphQL, the guard's own pages among them.
        return [f"{served}: put the app into a route, such as /graphql. {variable}=/ guards it too, without /metrics"]
    return [f"{served}: name it in {variable}, beside the other paths"]
