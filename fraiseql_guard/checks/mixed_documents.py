"""Refuses documents that hold a subscription beside something else, where answers last as long as clients want."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import GRAPHQL_INVALID, Protection
from fraiseql_guard.graphql.http.media_types import prefers_events


class MixedDocuments:
    """Refuses a document of subscriptions and others over sockets, and where the client asks for a stream of events.

    What lasts has no deadline, what computes has one, and which of both is asked for depends on the host's reading of
    ``operationName``.
    """

    protection: Final = Protection.QUERY_LIMITS

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Pass what is all of one kind, or was not measured, or is answered at once."""
        measured = ctx.measured
        if measured is None or measured.kind == "query" or not measured.mixes_subscriptions:
            return None  # nearly always: with any subscription a document is of another kind
        if ctx.carrier is None and not prefers_events(", ".join(ctx.lines(b"accept"))):
            return None
        detail = "The document holds a subscription beside other operations: send the operation alone."
        return Denial(GRAPHQL_INVALID, detail=detail)
