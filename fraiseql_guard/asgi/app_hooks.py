"""The functions of the app that a guard asks or tells, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from fraiseql_guard.identity.limit_keys import AskLimitKey
from fraiseql_guard.identity.user_status import AskUserStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AppHooks:
    """What the app has given to :class:`~fraiseql_guard.asgi.middleware.Middleware`; None for what it has not."""

    user_status: AskUserStatus | None = None
    """Says whether a verified user is still active."""
    rate_limit_key: AskLimitKey | None = None
    """Says what limits count a request by."""

    def joined(self, inner: AppHooks, either: Callable[[str, Any, Any], Any]) -> AppHooks:
        """These and those of the middleware directly inside. ``either`` is given the name and both functions, and
        returns the one to use."""
        names = [each.name for each in fields(self)]
        return AppHooks(**{name: either(name, getattr(self, name), getattr(inner, name)) for name in names})
