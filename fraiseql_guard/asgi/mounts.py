"""The prefix that mounts put in front of a path, for endpoint labels: as a template, never as the caller wrote it.

Starlette's Mount adds what it matched to ``root_path``, and keeps what that was before the first of them in
``app_root_path``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.routing import Mount
from starlette.types import Scope

_MOST: Final = 100
"""Most prefixes that are kept: callers can invent them where a mount's parameter looks like a fixed name."""
_PARAMETER: Final = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*+)")


class MountPrefixes:
    """The prefixes that were met so far."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[str] = set()

    def route_of(self, scope: Scope) -> str | None:
        """The path of a request's route, as a template with the prefix of its mounts; None if the app shows none."""
        route = scope.get("route")
        template = getattr(route, "path", None)
        if not isinstance(template, str) or not template:
            return None
        if isinstance(route, Mount):  # its app shows no routes: the prefix is all that is known
            return self.of(scope) or template
        return self.of(scope, template) + template

    def of(self, scope: Scope, template: str = "") -> str:
        """The prefix of a request at this point of the routing; ``""`` without a mount, or where it cannot be told.
        ``template`` is the path of its route below the mounts."""
        before = scope.get("app_root_path")
        if before is None:
            return ""
        root = scope.get("root_path") or ""
        if len(root) <= len(before) or not root.startswith(before):
            return ""
        prefix = _templated(root[len(before) :], scope.get("path_params") or {}, template)
        if prefix is None or (prefix not in self._known and len(self._known) >= _MOST):
            return ""
        self._known.add(prefix)
        return prefix


def _templated(prefix: str, values: Mapping[str, Any], template: str) -> str | None:
    """The prefix with its parameters' names in the place of their values; None if one of them is not found there."""
    of_route = set(_PARAMETER.findall(template))
    for name, value in values.items():
        if name in of_route:
            continue
        before, found, after = f"{prefix}/".partition(f"/{value}/")
        if not found:
            return None
        prefix = f"{before}/{{{name}}}/{after}".removesuffix("/")
    return prefix
