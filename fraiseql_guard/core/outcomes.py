"""The kind of a request and its outcome: the two labels that every ratio in the metrics is made of."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import BLOCKED, UNAUTHENTICATED, Outcome, PolicyName, RequestKind

_SERVER_ERROR: Final = 500


def kind_of(ctx: RequestContext) -> RequestKind:
    """The kind of a request. A refused request never counts as the guard's own, and a request from outside never as a
    probe."""
    place = ctx.place
    # A probe comes from a private peer, and asks for an exempt path.
    is_probe = place.exempt and ctx.private_peer
    if (is_probe or place.page is not None or ctx.for_operator) and ctx.denial is None:
        return RequestKind.OWN
    if ctx.preflight or ctx.page:
        return RequestKind.BROWSER
    return RequestKind.GUARDED if place.needs_token else RequestKind.OTHER


def outcome_of(ctx: RequestContext) -> Outcome:
    """The outcome of a request that was answered. A block for failed authentications counts as one more of them."""
    denial = ctx.denial
    if ctx.auth_failed or (denial is not None and is_for_authentication(denial)):
        return Outcome.UNAUTHENTICATED
    # A guard further inside refuses in this one's place.
    if denial is not None or ctx.refused_inside:
        return Outcome.REFUSED
    return Outcome.FAILED if ctx.status >= _SERVER_ERROR else Outcome.ANSWERED


def is_for_authentication(denial: Denial) -> bool:
    """Whether a request is refused because its caller has no valid credentials."""
    return denial.code is UNAUTHENTICATED or (denial.code is BLOCKED and denial.detail == PolicyName.BRUTE_FORCE)
