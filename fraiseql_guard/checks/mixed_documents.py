"""Refuses documents that hold a subscription beside something else, where answers last as long as clients want."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import GRAPHQL_INVALID, Protection
from fraiseql_guard.graphql.http.media_types import prefers_events


class MixedDocuments:
    """Refuses a document that holds subscriptions and other operations, over sockets and where the client asks for a
    stream of events.

    Subscriptions have no deadline and other operations have one, and which of them runs depends on the host's reading
    of ``operationName``.
    """

    protection: Final = Protection.QUERY_LIMITS

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Pass a document of one kind, one that was not measured, and one that is not answered by a stream."""
        measured = ctx.measured
        if measured is None or measured.kind == "query" or not measured.mixes_subscriptions:
            return None  # nearly always: a document with a subscription has another kind
        if ctx.carrier is None and not prefers_events(", ".join(ctx.lines(b"accept"))):
            return None
        detail = "The document holds a subscription beside other operations: send the operation alone."
        return Denial(GRAPHQL_INVALID, detail=detail)
