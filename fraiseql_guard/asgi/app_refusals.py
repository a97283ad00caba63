"""Tells whether the app itself has refused its caller: its own 401, 403 and error codes, as the contract's reasons.

Only where authentication is mounted, on GraphQL paths and the paths that need a token. It is the app's decision about a
caller that the guard let pass: counted and logged in every mode, and never sanctioned.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.asgi.answer import Answer
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.signals import FailureReason

_UNAUTHORIZED: Final = 401
_REFUSED: Final = 403
_FORBIDDEN_CODE: Final = "FORBIDDEN"
_UNAUTHENTICATED_CODE: Final = "UNAUTHENTICATED"
"""Both codes are Apollo's convention; FraiseQL's decorators (requires_auth, requires_role, ...) answer with them
too."""


def app_refusal(ctx: RequestContext, answer: Answer | None) -> FailureReason | None:
    """The reason for which the app refused its caller, if it did. Only the answer to a GraphQL operation is looked at.

    A verified user that the app does not let in lacks permissions, whatever word the app has for it; an anonymous
    caller about which it wants to know more lacks a token.
    """
    if not ctx.operation or answer is None:
        return _by_status(ctx)
    codes = answer.codes
    if not codes and answer.status not in (_UNAUTHORIZED, _REFUSED):
        return None
    return _reason(
        ctx,
        forbidden=answer.status == _REFUSED or _FORBIDDEN_CODE in codes,
        unauthenticated=answer.status == _UNAUTHORIZED or _UNAUTHENTICATED_CODE in codes,
    )


def _by_status(ctx: RequestContext) -> FailureReason | None:
    """As :func:`app_refusal`, for a request that is no GraphQL operation: its status decides, where a token is
    needed."""
    if ctx.status not in (_UNAUTHORIZED, _REFUSED):
        return None
    if not ctx.place.needs_token:
        return None
    return _reason(ctx, forbidden=ctx.status == _REFUSED, unauthenticated=ctx.status == _UNAUTHORIZED)


def _reason(ctx: RequestContext, *, forbidden: bool, unauthenticated: bool) -> FailureReason | None:
    if ctx.identity is None and ctx.token_failure is not None and not ctx.public_operation:
        return None  # monitor mode: that the token was bad is on record already
    if forbidden or (unauthenticated and ctx.identity is not None):
        return FailureReason.INSUFFICIENT_PERMISSIONS
    if unauthenticated and not ctx.public_operation:  # there it is a wrong password, which only the app can tell
        return FailureReason.MISSING_TOKEN
    return None
