"""Decides which requests a block binds, and which offence a refusal counts for."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import POLICY_OWNERS, Mode, Settings
from fraiseql_guard.core.signals import BLOCKED, UNKNOWN, FailureReason, PolicyName, Protection

SANCTIONING: Final = (Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS)
"""Protections whose offences bring sanctions. Each of them also enforces the operator's blocks."""

_AUTOMATIC: Final = frozenset(PolicyName) - {PolicyName.OPERATOR, PolicyName.ACCOUNT_LOCKOUT}
_NONE: Final[frozenset[PolicyName]] = frozenset()
_BRUTE_FORCE: Final = frozenset({PolicyName.BRUTE_FORCE})
_NEVER_WITHOUT: Final = frozenset({PolicyName.OPERATOR, PolicyName.BRUTE_FORCE})
"""Policies that hold even where their own protection is not mounted: another protection refuses in its place."""


def owner_of(policy: PolicyName, mounted: Container[Protection]) -> Protection:
    """The protection in whose name a policy's sanctions refuse, among the ``mounted`` ones."""
    own = POLICY_OWNERS[policy]
    if own in mounted or policy not in _NEVER_WITHOUT:
        return own
    return next((each for each in SANCTIONING if each in mounted), own)


class Sanctions:
    """The escalation policies, and the exceptions that keep the innocent out of them.

    ``modes`` has every protection. Where any protection enforces, sanctions of protections that only monitor bind no
    request: the store would answer with the sanction alone, and take nothing from the buckets of those that enforce.
    """

    def __init__(self, settings: Settings, modes: Mapping[Protection, Mode]) -> None:
        mounted = [each for each, mode in modes.items() if mode is not Mode.OFF]
        self.owners: Mapping[PolicyName, Protection] = {policy: owner_of(policy, mounted) for policy in PolicyName}
        enforced = {policy for policy, owner in self.owners.items() if modes[owner] is Mode.ENFORCE}
        self._escalations = {
            policy: replace(settings.escalation(policy), enforced=policy in enforced) for policy in _AUTOMATIC
        }
        any_enforced = any(modes[each] is Mode.ENFORCE for each in SANCTIONING)
        self._never = _AUTOMATIC - enforced if any_enforced else _NONE
        self._without_token = self._never | _BRUTE_FORCE
        self._abuse = self._escalations[PolicyName.RATE_LIMIT_ABUSE]

    def abuse(self, ctx: RequestContext) -> Escalation | None:
        """The policy that a refusal for the rate counts for; None if it is no offence."""
        return self._abuse if self._may_be_sanctioned(ctx) else None

    def offence(self, ctx: RequestContext, denial: Denial) -> Escalation | None:
        """The policy that this refusal counts for; None if it is no offence."""
        if denial.offence is None or not self._may_be_sanctioned(ctx):
            return None
        return self._escalations[denial.offence]

    def _may_be_sanctioned(self, ctx: RequestContext) -> bool:
        """Whether offences of the caller count. Not for callers behind an untrusted proxy, without an address, or
        visiting a foreign page, who may be innocent; nor for the allow-listed."""
        if ctx.allow_listed:
            return False
        return ctx.identity is not None or not (ctx.shared_peer or ctx.cross_site_simple or ctx.address == UNKNOWN)

    def exempt(self, ctx: RequestContext) -> frozenset[PolicyName]:
        """Policies whose blocks of this address do not bind this request."""
        # A verified user is not bound by what others at the address did.
        if ctx.identity is not None:
            return self._never
        if ctx.public_operation or ctx.preflight or ctx.token_failure is FailureReason.TOKEN_EXPIRED:
            return _AUTOMATIC
        if ctx.socket and ctx.token_pending:
            return _AUTOMATIC  # the caller is identified later, by the first message
        # A block for brute force binds those who send another bad token.
        return self._never if ctx.token_failure is not None else self._without_token

    def exempt_by_head(self, ctx: RequestContext) -> frozenset[PolicyName]:
        """As :meth:`exempt`, before the body is read, which may show that the request calls a public operation."""
        return _AUTOMATIC if ctx.token_pending else self.exempt(ctx)

    def refuse(self, sanction: Sanction) -> Denial:
        """The refusal of a blocked caller."""
        return Denial(
            BLOCKED,
            detail=sanction.policy.value,
            retry_after_seconds=max(1.0, sanction.expires_in_seconds),
            protection=self.owners[sanction.policy],
            tokens=0,
        )
