"""The one trip to the store: settles a request's whole bill, whatever became of it before.

The store answers in the order 403 (sanction), 429 (rate), then the gate's own denial stands (SPEC section 6).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.context import Bucket, Charge, Context, Denial
from fraiseql_guard.gates.cost_budgets import refuse_budget
from fraiseql_guard.gates.rate_limits import RateLimits, refuse, unpayable
from fraiseql_guard.gates.sanctions import Sanctions
from fraiseql_guard.settings import Mode, Settings
from fraiseql_guard.signals import BLOCKED, STORE_UNAVAILABLE, Protection
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.protocol import Imposed, Outcome, Store, Trip
from fraiseql_guard.stores.recent import Recent
from fraiseql_guard.stores.refusals import Refusals

SANCTIONING: Final = frozenset({Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS})
"""Protections whose offences bring sanctions; any of them also enforces the operator's."""
_RETRY_STORE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What the trip decided: the refusal in force, if any, and a sanction that this request brought about."""

    denial: Denial | None
    imposed: Imposed | None = None


PASSED: Final = Decision(None)
"""What most trips decide."""


class Admission:
    """Asks the store, once, and only if there is something to ask. ``trips`` are those made lately with the same
    settings; ``configured`` are the settings before any override (RateLimits)."""

    def __init__(
        self,
        store: Store,
        refusals: Refusals,
        settings: Settings,
        mounted: frozenset[Protection],
        blocked: BlockedAddresses,
        trips: Recent[Hashable, Trip],
        *,
        configured: Settings | None = None,
    ) -> None:
        self._store = store
        self._refusals = refusals
        self._blocked = blocked
        self._settings = settings
        self._rates = RateLimits(settings, configured)
        self._sanctions = Sanctions(settings)
        self._charging = Protection.RATE_LIMIT in mounted
        self._sanctioning = bool(mounted & SANCTIONING)
        self._enforced = any(settings.mode_of(protection) is Mode.ENFORCE for protection in mounted)
        self._trips = trips
        self.refused_lately = refusals.knows
        """Whether :meth:`remembered` may know something about the subject with this key: no usual trip then."""

    def remembered(self, ctx: Context) -> Denial | None:
        """A refusal that this process still knows, found before the body is read."""
        if not self._charging or ctx.token_pending or self._rates.free(ctx):
            return None
        bucket = self._refusals.find(ctx.subject, (self._rates.main_charge(ctx),))
        return self._refuse(ctx, bucket) if bucket is not None else None

    async def settle(self, ctx: Context, denial: Denial | None) -> Decision:
        """Pay, be refused, or have the gate's denial recorded."""
        if not self._sanctioning or (denial is not None and denial.code is BLOCKED):
            return Decision(denial)  # who is known to be blocked has nothing to ask the store
        trip = self.usual(ctx) if denial is None else None
        if trip is not None:
            return self.conclude(ctx, trip, await self._store.admit(trip))
        free = self._rates.free(ctx)
        charges = self._rates.bill(ctx, denial) if self._charging and not free else ()
        if ctx.charges and charges and denial is None:
            charges = (*charges, *ctx.charges)
        if (impossible := unpayable(charges)) is not None:
            return Decision(impossible)
        if charges and (bucket := self._refusals.find(ctx.subject, charges)) is not None:
            return Decision(self._refuse(ctx, bucket))
        trip = self._trip(ctx, denial, charges)
        if free and trip.offence is None and not ctx.guarded:
            return Decision(denial)
        return self.conclude(ctx, trip, await self._store.admit(trip), denial)

    def usual(self, ctx: Context) -> Trip | None:
        """The trip of a request of which nothing is special: the same one each time that it comes."""
        identity, measured, subject = ctx.identity, ctx.measured, ctx.subject
        special = (
            ctx.charges or ctx.shared_peer or ctx.unasked or ctx.preflight or ctx.public_operation or ctx.would_refuse
            or ctx.token_failure is not None or self._refusals.knows(subject.key)
            or ((ctx.allow_listed or ctx.private_peer) and self._rates.free(ctx))
        )  # fmt: skip
        if special or not self._sanctioning:
            return None
        key = (
            subject.key,
            None if identity is None else identity.tier,
            None if measured is None else (measured.kind, measured.mutation_root_fields),
        )
        trip = self._trips.get(key)
        if trip is None:
            charges = self._rates.bill(ctx, None) if self._charging else ()
            if unpayable(charges) is not None:
                return None
            trip = self._trip(ctx, None, charges)
            self._trips.put(key, trip)
        return trip

    def conclude(self, ctx: Context, trip: Trip, outcome: Outcome, denial: Denial | None = None) -> Decision:
        """What the store's answer means for a request that a gate has let pass, or has denied."""
        if outcome.buckets:
            ctx.buckets = outcome.buckets
        if outcome.admitted:
            imposed = outcome.imposed
            return PASSED if denial is None and imposed is None else Decision(denial, imposed)
        self._refusals.remember(trip, outcome)
        refusal = self._denial(outcome)
        if outcome.sanction is not None and ctx.identity is None:
            self._note_block(ctx, refusal)
        return Decision(refusal, outcome.imposed)

    def _note_block(self, ctx: Context, refusal: Denial) -> None:
        if self._settings.mode_of(refusal.owner) is Mode.ENFORCE:
            self._blocked.note(ctx.address_subject, refusal)

    def _trip(self, ctx: Context, denial: Denial | None, charges: Sequence[Charge]) -> Trip:
        subject, sanctions = ctx.subject, self._sanctions
        offender = denial
        if denial is None and ctx.would_refuse:
            offender = next((would for would in ctx.would_refuse if would.offence), None)
        return Trip(  # by position: by name it takes three times as long
            subject,
            tuple(charges),
            sanctions.abuse(ctx) if charges else None,
            None if offender is None else sanctions.offence(ctx, offender),
            1,
            sanctions.exempt(ctx),
            self._refusals.take_count(subject),
            False,
            self._enforced,
        )

    def _refuse(self, ctx: Context, bucket: Bucket) -> Denial:
        ctx.buckets = (bucket,)
        return refuse_budget(bucket) or refuse(bucket)

    def _denial(self, outcome: Outcome) -> Denial:
        if outcome.sanction is not None:
            return self._sanctions.refuse(outcome.sanction)
        if outcome.unavailable:
            return Denial(STORE_UNAVAILABLE, retry_after_seconds=_RETRY_STORE_SECONDS)
        never = [bucket.charge for bucket in outcome.buckets if math.isinf(bucket.retry_after_seconds)]
        if (impossible := unpayable(never)) is not None:
            return impossible
        short = max(outcome.buckets, key=lambda bucket: bucket.retry_after_seconds)
        return refuse_budget(short) or refuse(short)
