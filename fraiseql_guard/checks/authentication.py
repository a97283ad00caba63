"""Verifies the token or API key of a request, and decides whether the request needs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import (
    AMBIGUOUS_TOKEN,
    BLOCKED,
    KEYS_UNAVAILABLE,
    RATE_LIMITED,
    UNAUTHENTICATED,
    FailureReason,
    PolicyName,
    Protection,
)
from fraiseql_guard.identity.credentials import AUTHORIZATION, CredentialSources, Shown
from fraiseql_guard.identity.tokens import KeysMissing, TokenFailure
from fraiseql_guard.identity.verifier import Verifier
from fraiseql_guard.stores.blocked import BlockedAddresses

_PUNISHED: Final = frozenset({FailureReason.INVALID_TOKEN, FailureReason.INVALID_SIGNATURE})
"""Failures that count as offences, since they do not happen by accident; the others are only counted."""
_POSTPONED: Final = frozenset({FailureReason.MISSING_TOKEN, FailureReason.TOKEN_EXPIRED})
"""Failures with which a caller may still call public operations, to log in or to refresh a token."""
_CHALLENGES: Final = {
    FailureReason.MISSING_TOKEN: b"Bearer",
    FailureReason.TOKEN_EXPIRED: b'Bearer error="invalid_token", error_description="The token expired"',
}
_CHALLENGE: Final = b'Bearer error="invalid_token"'


class Authentication:
    """Verifies credentials wherever they are sent, and refuses missing or bad ones where they are needed. "Token"
    stands for an API key as well, which fails in the same ways.

    ``sources`` says where in a request credentials are looked for. ``blocked`` holds addresses of which only a few
    tokens are verified: blocked ones, and those that send a flood of expired tokens. ``modes`` has every protection.
    """

    protection: Final = Protection.AUTH

    def __init__(
        self,
        verifier: Verifier,
        sources: CredentialSources,
        settings: Settings,
        blocked: BlockedAddresses,
        modes: Mapping[Protection, Mode],
    ) -> None:
        self._verifier = verifier
        self._sources = sources
        self._plain = sources.plain
        self.reads: Final = sources.reads
        self._blocked = blocked
        self._modes = modes
        self._required = settings.auth_required
        self._may_be_public = bool(settings.public_root_fields)

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Set ``ctx.identity``, or refuse. Where the verification key must be fetched first, set
        ``ctx.keys_missing``."""
        if ctx.preflight or ctx.page:
            return None
        if ctx.socket:
            return self._decide_upgrade(ctx)
        if ctx.carrier is not None:  # of a message over a socket, whose reader has set them
            return self._decide(ctx, ctx.credentials)
        if self._plain:
            ctx.credentials = lines = ctx.lines(AUTHORIZATION)
            return self._decide(ctx, lines)
        shown = self._sources.of_request(ctx)
        ctx.credentials = shown.credentials
        if shown.ambiguous:
            return Denial(AMBIGUOUS_TOKEN) if self.needed(ctx) else None
        return self._decide(ctx, shown.credentials, shown)

    def _decide_upgrade(self, ctx: RequestContext) -> Denial | None:
        """As :meth:`decide`, for a WebSocket's upgrade. Browsers cannot add a header to it, so its token may come in
        the query string, in a cookie or, on GraphQL paths, in the first message."""
        shown = self._sources.of_upgrade(ctx)
        ctx.credentials = shown.credentials
        if shown.ambiguous:
            return Denial(AMBIGUOUS_TOKEN)
        if not shown.credentials and ctx.guarded:
            ctx.token_pending = True
            return None
        return self._decide(ctx, shown.credentials)

    def _decide(self, ctx: RequestContext, lines: Sequence[str], shown: Shown | None = None) -> Denial | None:
        # Of a blocked address only tokens that were good before are verified.
        if (
            lines
            and self._blocked.holds(ctx.address_subject)
            and (refusal := self._refuse_unverified(ctx, lines)) is not None
        ):
            return refusal
        # Verify the token; what fails here may be a key that is not at hand.
        found = self._verifier.verify(lines)
        if isinstance(found, Identity):
            ctx.identify(found)
            return None
        if isinstance(found, KeysMissing):
            ctx.keys_missing = True
            return None
        return self._refuse(ctx, found, ambient=shown is not None and shown.ambient)

    def decide_at_last(self, ctx: RequestContext, found: Identity | TokenFailure | KeysMissing) -> Denial | None:
        """Decide by the result of a verification for which keys were fetched."""
        ctx.keys_missing = False
        if isinstance(found, Identity):
            ctx.identify(found)
            return None
        if isinstance(found, TokenFailure):
            return self._refuse(ctx, found)
        if not self.needed(ctx):
            return None
        code = RATE_LIMITED if found.flood else KEYS_UNAVAILABLE
        return Denial(code, retry_after_seconds=found.retry_after_seconds, protection=self.protection)

    def _refuse_unverified(self, ctx: RequestContext, lines: Sequence[str]) -> Denial | None:
        """The refusal of a blocked address whose token is not verified; None if its tokens are still verified.

        The refusal for a block counts as an invalid token, which has brought the block. In monitor mode the token is
        verified all the same: its caller passes, and must be identified.
        """
        if self._verifier.knows(lines):
            return None
        refusal = self._blocked.refusal(ctx.address_subject)
        if refusal is None or self._modes[refusal.owner] is not Mode.ENFORCE:
            return None
        return replace(refusal, reason=FailureReason.INVALID_TOKEN) if refusal.code is BLOCKED else refusal

    def _refuse(self, ctx: RequestContext, found: TokenFailure, *, ambient: bool = False) -> Denial | None:
        if not self.needed(ctx) or (found.reason is FailureReason.MISSING_TOKEN and not self._required):
            return None
        # A failure is recorded, whether or not the request may go on without a token.
        ctx.token_failure, ctx.token_prefix, ctx.token_claims = found.reason, found.token_prefix, found.claims
        # A page cannot take back a cookie that no longer holds, and logs in with it.
        if ctx.operation and self._may_be_public and (found.reason in _POSTPONED or ambient):
            ctx.token_pending = True
            return None
        return refuse(found.reason)

    def needed(self, ctx: RequestContext) -> bool:
        """Whether a token is needed here. Elsewhere a caller without a valid one is anonymous."""
        return ctx.place.needs_token


class PublicOperations:
    """Refuses a request without a valid token, after its body was read, unless it calls public operations alone."""

    protection: Final = Protection.AUTH

    def __init__(self, settings: Settings) -> None:
        self._public = settings.public_root_fields

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Pass if every root field of every operation in the request is public.

        A request that was not measured completely may have other fields, and does not pass.
        """
        if not ctx.token_pending or ctx.token_failure is None:
            return None
        ctx.token_pending = False
        # One field that is not public decides for the whole request.
        measured = ctx.measured
        if measured is not None and measured.complete and measured.root_fields and measured.root_fields <= self._public:
            ctx.public_operation = True
            return None
        return refuse(ctx.token_failure)


def refuse(reason: FailureReason) -> Denial:
    """The 401 refusal for a failed authentication, with its WWW-Authenticate challenge (RFC 6750, section 3)."""
    return Denial(
        UNAUTHENTICATED,
        reason=reason,
        offence=PolicyName.BRUTE_FORCE if reason in _PUNISHED else None,
        tokens=0 if reason is FailureReason.TOKEN_EXPIRED else 1,
        headers=((b"www-authenticate", _CHALLENGES.get(reason, _CHALLENGE)),),
    )
