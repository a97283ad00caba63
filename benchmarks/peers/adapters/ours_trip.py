"""Our limiter without the middleware around it: a decision in Redis with every safeguard, and no signal.

One trip a request on the multiplexed connection, with its deadline, the breaker, the failure policy and the memory of
refusals. It is what a limiter does; all that ``ours`` costs beyond it is describing the request, its id, its headers
and its accounting.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.app import plain
from fraiseql_guard.core.context import Charge, Limit, Subject
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.stores import AdmitRequest, Refusals, open_store


class _Nobody:
    """Hears what happens to the store."""

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        """An exchange failed."""

    def store_fallback(self, policy: str) -> None:
        """A request was decided by the failure policy."""

    def store_unreadable(self, family: object, detail: str, first: bool) -> None:
        """An entry was left out."""

    def store_recovered(self, outage_seconds: float) -> None:
        """The store answers again."""


def build(redis_url: str, per_hour: int) -> Any:
    """The app behind it."""
    app, refusals = plain(), Refusals()
    store = open_store(Settings.load(redis_url=redis_url), _Nobody())
    charges = (Charge("default", Limit(per_hour, 3600)),)
    trips: dict[str, AdmitRequest] = {}

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            host = scope["client"][0]
            trip = trips.get(host)
            if trip is None:
                trip = trips[host] = AdmitRequest(Subject("address", host), charges)
            if refusals.knows(trip.subject.key) and refusals.find(trip.subject, charges) is not None:
                raise RuntimeError("not admitted")
            outcome = await store.admit(trip)
            if not outcome.admitted:
                refusals.remember(trip, outcome)
                raise RuntimeError(f"not admitted: {outcome}")
        await app(scope, receive, send)

    return limited
