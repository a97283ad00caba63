"""Logs the start of a guard: one line with its protections, and warnings that an operator should look at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.types import Scope

from fraiseql_guard.asgi.app_routes import LOOSE, routes_of, unguarded_graphql
from fraiseql_guard.asgi.elsewhere import is_on_graphql_paths
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
    needed = runtime.on_graphql_paths_alone
    if runtime.tell(routes_of, app):
        # A guard inside a mount is told of no start: then the first scope is a request's, and says where the mount is.
        mount = scope.get("root_path") or ""
        found = runtime.tell(unguarded_graphql, app, runtime.paths, guards, mount, needed)
    else:
        found = runtime.tell(unguarded_graphql, scope.get("app"), runtime.paths, guards, "", needed)
    if not found:
        return []
    variable = name_of("graphql_paths")
    if runtime.tell(is_on_graphql_paths, app, guards):
        return [] if runtime.refuses else [_on_every_path(runtime.settings.graphql_paths)]
    served = f"GraphQL is served on {', '.join(found[:_SHOWN])} and not guarded there"
    if found == ("/",):
        # Under / every path is GraphQL, the guard's own pages among them.
        return [f"{served}: put the app into a route, such as /graphql. {variable}=/ guards it too, without /metrics"]
    if all(path.endswith(LOOSE) for path in found):
        return [f"{served}: a mount takes all paths that begin so. Make it a route (in Litestar without is_mount)"]
    beginning = ", of a path with a parameter its fixed beginning" if any("{" in path for path in found) else ""
    return [f"{served}: name it in {variable}, beside the other paths{beginning}"]


def _on_every_path(graphql_paths: Sequence[str]) -> str:
    """About an app that is a GraphQL endpoint and nothing else, behind a guard that takes no path away from it."""
    return (
        f"GraphQL is served on every path, and looked at on {', '.join(graphql_paths)} alone: a guard that enforces "
        f"anything answers the others with 404. Name those that clients ask in {name_of('graphql_paths')}"
    )
