"""Refuses documents of which it depends on the operation that is run whether the answer has an end."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import GRAPHQL_INVALID, Protection
from fraiseql_guard.graphql.http.media_types import prefers_events


class MixedOperations:
    """Refuses a subscription together with other operations over a socket, and where the client asks for a stream of
    events.

    What may be a subscription has no deadline, and what may be a query keeps its place among the operations at work.
    """

    protection: Final = Protection.QUERY_LIMITS

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse a mixed document, unless it is to be answered at once."""
        measured = ctx.measured
        if measured is None or "subscription" not in measured.kinds or measured.subscribes:
            return None
        if ctx.carrier is None and not prefers_events(", ".join(ctx.lines(b"accept"))):
            return None
        return Denial(GRAPHQL_INVALID, detail="a subscription together with other operations: send the operation alone")
