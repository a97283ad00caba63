"""What a guard says of itself when it starts: one line with its protections, and sentences that deserve a look."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from fraiseql_guard.asgi.app_routes import routes_of, unguarded_graphql
from fraiseql_guard.asgi.mount_options import MountOptions
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.startup_warnings import startup_warnings
from fraiseql_guard.core.settings import name_of, warnings
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.telemetry.metrics import multiprocess

_SHOWN: Final = 10
"""Most paths that a sentence names."""


def announce(runtime: Runtime, mount_options: MountOptions, app: Any, *, host: Any, guards: type) -> None:
    """Write the line and the sentences. Never raises.

    ``app`` is what the guard wraps, ``host`` the app that the first scope names, ``guards`` the class of all guards.
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
            *_unguarded_paths(runtime, app, host=host, guards=guards),
        ]
        if runtime.recorder.metrics.shares_its_pid:
            sentences.append(multiprocess.SHARED_PID)
        runtime.recorder.process.started(fields, sentences)


def _unguarded_paths(runtime: Runtime, app: Any, *, host: Any, guards: type) -> list[str]:
    """A sentence about routes that speak GraphQL and are not guarded, where the app shows its routes."""
    shown = app if runtime.tell(routes_of, app) else host
    found = runtime.tell(unguarded_graphql, shown, runtime.paths, guards)
    if not found:
        return []
    return [
        f"GraphQL is served on {', '.join(found[:_SHOWN])} and not guarded there: name it in "
        f"{name_of('graphql_paths')}, beside the other paths"
    ]
