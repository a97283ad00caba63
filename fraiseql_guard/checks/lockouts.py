"""Lockouts of logins that the app reports: so many failures of one identifier at one address.

The guard knows no passwords: the app asks before it looks at one, and reports the outcome. Nothing here raises: without
the store the failure policy decides, and a login that could not be checked is locked for a second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import UNKNOWN, LoginOutcome, PolicyName
from fraiseql_guard.identity.logins import login_subject
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult, Store
from fraiseql_guard.telemetry.recorder import RequestRecorder


@dataclass(frozen=True, slots=True)
class Lockout:
    """A login that must not be tried now, even with the right password; the app answers 429 with Retry-After."""

    retry_after_seconds: int


_UNDECIDED: Final = Lockout(1)


class Lockouts:
    """Counts failed logins by identifier and address. Each method makes one exchange with the store, and none raises.

    Simultaneous attempts at one login are all allowed before any of them has failed, so a process lets no more of them
    run at once than the number of failures that brings a lockout. An attempt ends with its report, or with its request.
    ``at_work`` counts the attempts, and outlives a change of the settings.
    """

    def __init__(
        self, store: Store, recorder: RequestRecorder, settings: Settings, at_work: Counter[str] | None = None
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._escalation = settings.escalation(PolicyName.ACCOUNT_LOCKOUT)
        self._undecided = _UNDECIDED if self._escalation.enforced else None  # monitor mode locks no login
        self._at_work: Counter[str] = Counter() if at_work is None else at_work

    async def locked(self, identifier: str, ctx: RequestContext) -> Lockout | None:
        """The lockout in force, if any."""
        try:
            # Ask the store for a lockout, and this process for attempts at work.
            subject = login_subject(identifier, ctx.address_subject)
            outcome = await self._store.admit(AdmitRequest(subject, enforced=self._escalation.enforced))
            lockout = self._in_force(outcome) or self._begin(subject.name, ctx)
        except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not checked does not pass
            self._broke(error)
            return self._undecided
        if lockout is not None:
            self._record(self._recorder.login, ctx, LoginOutcome.LOCKED)
        return lockout

    async def failed(self, identifier: str, ctx: RequestContext) -> Lockout | None:
        """Count a failure: the lockout that it brought, or that was in force already; None without one."""
        self._record(self._recorder.login, ctx, LoginOutcome.FAILED)
        try:
            subject = login_subject(identifier, ctx.address_subject)
            offence = None if self._spared(ctx) else self._escalation
            outcome = await self._store.admit(
                AdmitRequest(subject, offence=offence, enforced=self._escalation.enforced)
            )
            self._end(subject.name, ctx)
            lockout = self._in_force(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)
            return self._undecided
        if outcome.imposed is not None:
            self._record(self._recorder.imposed, ctx, outcome.imposed)
        return lockout

    async def succeeded(self, identifier: str, ctx: RequestContext) -> None:
        """Forget the failures of this identifier at this address."""
        self._record(self._recorder.login, ctx, LoginOutcome.SUCCEEDED)
        try:
            subject = login_subject(identifier, ctx.address_subject)
            await self._store.sanctions.pardon(subject, PolicyName.ACCOUNT_LOCKOUT)
            self._end(subject.name, ctx)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    def release(self, ctx: RequestContext) -> None:
        """End the attempts that a request has begun and not reported."""
        for name in ctx.attempts or ():
            self._end(name, ctx)

    def _record(self, signal: Callable[..., object], *facts: object) -> None:
        """Emit a signal. A fault in it changes nothing about the lockout."""
        try:
            signal(*facts)
        except Exception as error:  # noqa: BLE001 - signals are no reason to decide otherwise
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        with suppress(Exception):  # the recorder itself may be what failed
            self._recorder.fault("lockouts", error)

    def _begin(self, name: str, ctx: RequestContext) -> Lockout | None:
        if ctx.attempts is None or name in ctx.attempts or not self._escalation.enforced or self._spared(ctx):
            return None
        if self._at_work[name] >= self._escalation.offences:
            return _UNDECIDED
        self._at_work[name] += 1
        ctx.attempts = (*ctx.attempts, name)
        return None

    def _end(self, name: str, ctx: RequestContext) -> None:
        if ctx.attempts is None or name not in ctx.attempts:
            return
        ctx.attempts = tuple(other for other in ctx.attempts if other != name)
        self._at_work[name] -= 1
        if self._at_work[name] <= 0:
            del self._at_work[name]  # keep no entry of a login without attempts

    def _spared(self, ctx: RequestContext) -> bool:
        """Whether a caller is never locked out: behind an untrusted proxy the owner looks like the attacker, and the
        allow-listed are never sanctioned."""
        return ctx.shared_peer or ctx.address == UNKNOWN or ctx.allow_listed

    def _in_force(self, outcome: AdmitResult) -> Lockout | None:
        if not self._escalation.enforced:
            return None
        # Without the store, and with a policy that refuses then, nothing is known of the login.
        if outcome.unavailable:
            return _UNDECIDED
        sanction = outcome.sanction or (outcome.imposed.sanction if outcome.imposed else None)
        return Lockout(max(1, math.ceil(sanction.expires_in_seconds))) if sanction else None
