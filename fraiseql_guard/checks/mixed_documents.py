"""Refuses documents that hold a subscription beside something else, where answers last as long as clients want."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import GRAPHQL_INVALID, Protection


class MixedDocuments:
    """Refuses a document of subscriptions and others: what lasts has no deadline, what computes has one, and which of
    both is asked for depends on the host's reading of ``operationName``."""

    protection: Final = Protection.QUERY_LIMITS

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Pass what is all of one kind, or was not measured."""
        if ctx.measured is None or not ctx.measured.mixes_subscriptions:
            return None
        detail = "The document holds a subscription beside other operations: send the operation alone."
        return Denial(GRAPHQL_INVALID, detail=detail)


MIXED_DOCUMENTS: Final = MixedDocuments()
"""It has no state."""
