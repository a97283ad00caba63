"""Who may read the metrics? Never the public by accident, also behind a proxy (SPEC section 10)."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.context import Context, Denial
from fraiseql_guard.identity.networks import NetworkSet
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import METRICS_FORBIDDEN, Protection

_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)


class MetricsAccess:
    """Loopback peers without a forwarding header, the configured networks, or the token."""

    protection: Final = Protection.METRICS
    needs_body: Final = False

    def __init__(self, settings: Settings) -> None:
        self._path = settings.metrics_path
        self._networks = NetworkSet(settings.metrics_networks)
        self._token = settings.metrics_token

    def asked_for(self, ctx: Context) -> bool:
        """Whether a request is for the exposition."""
        return ctx.path == self._path and ctx.method in ("GET", "HEAD") and not ctx.guarded

    def decide(self, ctx: Context) -> Denial | None:
        """Refuse everybody else."""
        if not self.asked_for(ctx) or ctx.loopback_peer:
            return None
        if not ctx.shared_peer and ctx.address in self._networks:
            return None
        scheme, _, token = ctx.header(b"authorization").partition(" ")
        if self._token is not None and scheme.lower() == "bearer" and self._token.matches(token.strip()):
            return None
        return Denial(METRICS_FORBIDDEN, headers=_CHALLENGE)
