"""Reads and measures GraphQL requests, and refuses those that are unreadable or over a limit."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import BAD_REQUEST, Protection
from fraiseql_guard.graphql.reader import Reader


class QueryLimits:
    """Measures every GraphQL request that reaches it, and refuses what it cannot read."""

    protection: Final = Protection.QUERY_LIMITS

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Set ``ctx.measured``, or refuse a request that is unreadable or over a limit."""
        if ctx.rules is not None:
            ctx.rule = ctx.rules.unmeasured  # until more is known
        # Servers and apps disagree on the meaning of a GET's body.
        if ctx.body and ctx.method != "POST":
            return Denial(BAD_REQUEST, detail=f"{ctx.method} with a body")
        reading = self._reader.read(
            ctx.method,
            ctx.headers.get(b"content-type", b"").decode("latin-1"),
            ctx.query_string,
            ctx.body or b"",
            authenticated=ctx.identity is not None,
            caller=ctx.subject,
            candidates=ctx.rules,
        )
        ctx.measured, ctx.hashes, ctx.rewritten = reading.measured, reading.hashes, reading.rewritten
        ctx.query_text = reading.text
        if reading.measured is not None:
            ctx.rule, ctx.rule_shares = reading.rule, reading.shares
        if reading.noted is not None:
            ctx.would_refuse += (reading.noted,)
        return reading.denial
