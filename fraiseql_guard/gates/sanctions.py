"""Whom does a block bind, and which offence does a refusal count for? (SPEC section 8)."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.context import Context, Denial, Escalation, Sanction
from fraiseql_guard.settings import POLICY_OWNERS, Settings
from fraiseql_guard.signals import BLOCKED, UNKNOWN, FailureReason, PolicyName

_AUTOMATIC: Final = frozenset(PolicyName) - {PolicyName.OPERATOR, PolicyName.ACCOUNT_LOCKOUT}
_NONE: Final[frozenset[PolicyName]] = frozenset()
_BRUTE_FORCE: Final = frozenset({PolicyName.BRUTE_FORCE})


class Sanctions:
    """The escalation policies, and the exceptions that keep the innocent out of them."""

    def __init__(self, settings: Settings) -> None:
        self._escalations = {policy: settings.escalation(policy) for policy in _AUTOMATIC}
        self._abuse = self._escalations[PolicyName.RATE_LIMIT_ABUSE]

    def abuse(self, ctx: Context) -> Escalation | None:
        """The policy that a refusal for the rate counts for."""
        return self._abuse if self._punishable(ctx) else None

    def offence(self, ctx: Context, denial: Denial) -> Escalation | None:
        """The policy that this refusal counts for."""
        if denial.offence is None or not self._punishable(ctx):
            return None
        return self._escalations[denial.offence]

    def _punishable(self, ctx: Context) -> bool:
        """Whoever is behind an untrusted proxy, or has no address, may be innocent, and so is the visitor of a foreign
        page; the allow-listed are never sanctioned automatically."""
        if ctx.allow_listed:
            return False
        return ctx.identity is not None or not (ctx.shared_peer or ctx.unasked or ctx.address == UNKNOWN)

    @staticmethod
    def exempt(ctx: Context) -> frozenset[PolicyName]:
        """Policies whose blocks of this address do not bind this request."""
        if ctx.identity is not None:
            return _NONE
        if ctx.public_operation or ctx.preflight or ctx.token_failure is FailureReason.TOKEN_EXPIRED:
            return _AUTOMATIC
        return _NONE if ctx.token_failure is not None else _BRUTE_FORCE

    @staticmethod
    def refuse(sanction: Sanction) -> Denial:
        """The refusal of a blocked caller."""
        return Denial(
            BLOCKED,
            detail=sanction.policy.value,
            retry_after_seconds=max(1.0, sanction.expires_in_seconds),
            protection=POLICY_OWNERS[sanction.policy],
            tokens=0,
        )
