"""Refuses requests for the operator's API without an operator's token: they learn nothing, and pay for the attempt."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.signals import ADMIN_UNAUTHENTICATED, WEBSOCKET_REFUSED, FailureReason, PolicyName, Protection

_WRONG_COSTS: Final = 10
"""Tokens of the anonymous bucket that a wrong token costs."""
HEADERS: Final = ((b"www-authenticate", b"Bearer"), (b"x-content-type-options", b"nosniff"))


class AdminAccess:
    """Refuses every request for the operator's API without an operator's token."""

    protection: Final = Protection.ADMIN
    reads: Final = HeadReads(headers=frozenset({b"authorization"}))

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Pass an operator's request. Refuse any other with the same answer for all routes; a wrong token is an
        offence."""
        if not ctx.for_operator or ctx.actor:
            return None
        if ctx.socket:
            return Denial(WEBSOCKET_REFUSED, protection=self.protection)
        if ctx.operator_refusal is not None:
            return ctx.operator_refusal
        # A missing token is no attempt to break in; a wrong one is an offence.
        if not ctx.header(b"authorization"):
            return Denial(ADMIN_UNAUTHENTICATED, headers=HEADERS)
        ctx.token_failure = FailureReason.INVALID_TOKEN
        return Denial(ADMIN_UNAUTHENTICATED, headers=HEADERS, offence=PolicyName.BRUTE_FORCE, tokens=_WRONG_COSTS)
