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
"""Protections whose offences bring sanctions; any of them also enforces the operator's."""

_AUTOMATIC: Final = frozenset(PolicyName) - {PolicyName.OPERATOR, PolicyName.ACCOUNT_LOCKOUT}
_NONE: Final[frozenset[PolicyName]] = frozenset()
_BRUTE_FORCE: Final = frozenset({PolicyName.BRUTE_FORCE})
_NEVER_WITHOUT: Final = frozenset({PolicyName.OPERATOR, PolicyName.BRUTE_FORCE})
"""Policies that hold where the protection that they belong to is not mounted: another one refuses in its place."""


def owner_of(policy: PolicyName, mounted: Container[Protection]) -> Protection:
    """In whose name a policy's sanctions refuse where these protections are mounted."""
    own = POLICY_OWNERS[policy]
    if own in mounted or policy not in _NEVER_WITHOUT:
        return own
    return next((each for each in SANCTIONING if each in mounted), own)


class Sanctions:
    """The escalation policies, and the exceptions that keep the innocent out of them.

    ``modes`` has every protection. Where any protection enforces, a sanction of one that does not binds no request: the
    store would answer with it alone, and the other protections would learn nothing of their buckets.
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
        """The policy that a refusal for the rate counts for."""
        return self._abuse if self._punishable(ctx) else None

    def offence(self, ctx: RequestContext, denial: Denial) -> Escalation | None:
        """The policy that this refusal counts for."""
        if denial.offence is None or not self._punishable(ctx):
            return None
        return self._escalations[denial.offence]

    def _punishable(self, ctx: RequestContext) -> bool:
        """Whether offences count. Callers behind an untrusted proxy or without an address may be innocent, as are
        visitors of a foreign page; the allow-listed are never sanctioned automatically."""
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
            return _AUTOMATIC  # who opens it is asked later
        # A block for brute force binds those who send another bad token.
        return self._never if ctx.token_failure is not None else self._without_token

    def exempt_by_head(self, ctx: RequestContext) -> frozenset[PolicyName]:
        """The same before the body is read, which may show that this is a public operation."""
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
