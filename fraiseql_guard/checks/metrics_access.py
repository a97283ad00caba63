"""Decides who may read the metrics and the health details: operators and probes, and not the public behind a proxy."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.place import OwnPage
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import HEALTH_FORBIDDEN, METRICS_FORBIDDEN, Protection
from fraiseql_guard.identity.networks import NetworkSet

_READS: Final = HeadReads(headers=frozenset({b"authorization"}))
_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)


class _Readers:
    """The readers of metrics and health details: callers in the configured networks, and callers with the token."""

    def __init__(self, settings: Settings) -> None:
        self._networks = NetworkSet(settings.metrics_networks)
        self._token = settings.metrics_token

    def include(self, ctx: RequestContext) -> bool:
        """Whether a request comes from a reader."""
        if not ctx.shared_peer and ctx.address in self._networks:
            return True
        # Behind a shared peer the address says nothing, but the token does.
        scheme, _, token = ctx.header(b"authorization").partition(" ")
        return self._token is not None and scheme.lower() == "bearer" and self._token.matches(token.strip())


def _asks_for(ctx: RequestContext, page: OwnPage) -> bool:
    return ctx.place.page is page and ctx.method in ("GET", "HEAD") and not ctx.socket


class MetricsAccess:
    """Lets read the metrics: loopback peers that are no proxy, callers in the configured networks or with the token."""

    protection: Final = Protection.METRICS
    reads: Final = _READS

    def __init__(self, settings: Settings) -> None:
        self._readers = _Readers(settings)

    def asked_for(self, ctx: RequestContext) -> bool:
        """Whether a request is for the exposition."""
        return _asks_for(ctx, OwnPage.METRICS)

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse everybody else."""
        if not self.asked_for(ctx) or ctx.loopback_peer or self._readers.include(ctx):
            return None
        return Denial(METRICS_FORBIDDEN, headers=_CHALLENGE)


class HealthAccess:
    """Lets read the health details: private peers that are no proxy (a kubelet's probes), and readers of the
    metrics."""

    protection: Final = Protection.METRICS
    reads: Final = _READS

    def __init__(self, settings: Settings) -> None:
        self._readers = _Readers(settings)

    def asked_for(self, ctx: RequestContext) -> bool:
        """Whether a request is for the health details."""
        return _asks_for(ctx, OwnPage.HEALTH)

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse everybody else."""
        if not self.asked_for(ctx) or ctx.private_peer or ctx.loopback_peer or self._readers.include(ctx):
            return None
        return Denial(HEALTH_FORBIDDEN, headers=_CHALLENGE)
