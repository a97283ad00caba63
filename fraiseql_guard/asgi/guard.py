"""The middlewares that an app mounts: Guard with all protections, or one protection alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fraiseql_guard.asgi.middleware import Middleware
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.operations.operator.shared_values import BLOCK_SECONDS, Target

if TYPE_CHECKING:
    from fraiseql_guard.operations.operator.interface import Done, Operator

_APP: Final = "app"
"""The actor that is recorded for actions that the app takes through these methods."""


class Guard(Middleware):
    """All protections: rate limits, authentication, query limits, query timeout, metrics."""

    protections = frozenset(Protection)

    # --- what an operator does ---------------------------------------------------------------------------------------

    @property
    def operator(self) -> Operator:
        """The operator's reports and actions. The methods below offer some of them under the names of the runbooks."""
        return self._runtime.operator

    def admin_app(self) -> ASGIApp:
        """The operator's HTTP API as an ASGI app for a port of its own; the guarded app serves it no longer.

        SettingsError if no admin token and no admin scope is configured.
        """
        if self._runtime.operator_authentication is None:
            raise SettingsError(
                f"{self.mount_options.names[0]} serves no HTTP API. Set {name_of('admin_tokens')} to name=token (32 "
                f"bytes or more), or {name_of('admin_scope')}"
            )
        self._dispatcher.apart = True

        async def admin(scope: Scope, receive: Receive, send: Send) -> None:
            await self._dispatcher.serve_operators(scope, receive, send)

        return admin

    async def block_ip(
        self, ip_address: str, duration_seconds: float = BLOCK_SECONDS, reason: str = "", *, force: bool = False
    ) -> Done:
        """Refuse every request from an address or network for ``duration_seconds``. DangerousError if the block needs
        ``force``."""
        target = Target(ip_address=ip_address)
        return await self.operator.block(
            target, duration_seconds=duration_seconds, reason=reason, force=force, actor=_APP
        )

    async def block_user(self, user_id: str, duration_seconds: float = BLOCK_SECONDS, reason: str = "") -> Done:
        """Refuse every request of a verified user for ``duration_seconds``."""
        target = Target(user_id=user_id)
        return await self.operator.block(target, duration_seconds=duration_seconds, reason=reason, actor=_APP)

    async def unblock(self, *, user_id: str | None = None, ip_address: str | None = None) -> Done:
        """End every sanction of a user, or of an address or network."""
        return await self.operator.lift(Target(user_id=user_id, ip_address=ip_address), actor=_APP)

    async def unlock(self, identifier: str, *, ip_address: str | None = None) -> Done:
        """End the lockouts of a login identifier: at one address, or everywhere."""
        return await self.operator.unlock(identifier, ip_address=ip_address, actor=_APP)

    async def set_user_limit(self, user_id: str, limit: str, duration_seconds: float = BLOCK_SECONDS) -> Done:
        """Raise or lower one user's limit (``1000/minute``) for ``duration_seconds``."""
        target = Target(user_id=user_id)
        return await self.operator.set_limit(target, limit, duration_seconds=duration_seconds, actor=_APP)

    async def get_user_limit(self, user_id: str) -> str:
        """The limit of a user: the override in force, else the limit of users without a tier."""
        held = [each for each in await self.operator.limits() if each.target.user_id == user_id]
        settings = self.settings
        return held[0].limit if held else str(settings.rate_limit_authenticated or settings.rate_limit_default)

    async def add_to_whitelist(self, ip_address: str, reason: str = "", expiry_seconds: float | None = None) -> Done:
        """Exempt an address or network from limits and automatic sanctions, for ``expiry_seconds``; by default for as
        long as an operator may set."""
        return await self.operator.allow(ip_address, reason=reason, duration_seconds=expiry_seconds, actor=_APP)


class RateLimitMiddleware(Middleware):
    """Rate limits alone: token buckets per user and address, and blocks of those who violate them again and again."""

    protections = frozenset({Protection.RATE_LIMIT})


class AuthMiddleware(Middleware):
    """Authentication alone: verifies tokens, accounts for failures, blocks brute force."""

    protections = frozenset({Protection.AUTH})


class QueryLimitMiddleware(Middleware):
    """Query limits alone: depth, complexity, lists, aliases and the other bounds on documents and bodies."""

    protections = frozenset({Protection.QUERY_LIMITS})


class QueryTimeoutMiddleware(Middleware):
    """The query timeout alone: stops the work at the deadline and when the client leaves."""

    protections = frozenset({Protection.TIMEOUT})


class MetricsMiddleware(Middleware):
    """Metrics alone: plain HTTP accounting, and the exposition."""

    protections = frozenset({Protection.METRICS})
