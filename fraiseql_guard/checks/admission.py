"""The one trip to the store: settles a request's whole bill, whatever became of it before.

The store answers in the order 403 (sanction), 429 (rate), then the gate's own denial stands.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.checks.app_documents import AppDocuments
from fraiseql_guard.checks.cost_budgets import refuse_budget
from fraiseql_guard.checks.rate_limits import RateLimits, is_lenient, refuse, unpayable
from fraiseql_guard.checks.sanctions import SANCTIONING, Sanctions
from fraiseql_guard.core.context import Bucket, Charge, Denial, Escalation, RequestContext
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import BLOCKED, RATE_LIMITED, STORE_UNAVAILABLE, PolicyName, Protection
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.credit import Drawn
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult, Imposed, Store
from fraiseql_guard.stores.refusals import Refusals

_TRIPS: Final = 1_000
_BYTES_PER_TRIP: Final = 1_500
_RETRY_STORE_SECONDS: Final = 1.0
_KNOWN: Final = (BLOCKED, RATE_LIMITED)
"""What a gate refuses for because the store has said so a moment ago."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the trip decided: the refusal in force, if any, and a sanction that this request brought about."""

    denial: Denial | None
    imposed: Imposed | None = None


PASSED: Final = Decision(None)
"""What most trips decide."""


class Admission:
    """Asks the store, once, and only if there is something to ask. ``modes`` has every protection.

    The trips that were made lately are remembered here: like all that was made of the settings, they end with these.
    ``configured`` are the settings before any override (RateLimits).
    """

    def __init__(
        self,
        store: Store,
        refusals: Refusals,
        settings: Settings,
        modes: Mapping[Protection, Mode],
        blocked: BlockedAddresses,
        *,
        app_documents: AppDocuments,
        configured: Settings | None = None,
    ) -> None:
        self._store = store
        self._refusals = refusals
        self._blocked = blocked
        self._app_documents = app_documents
        self._modes = modes
        self._rates = RateLimits(settings, configured)
        self._sanctions = Sanctions(settings, modes)
        self._charging = modes[Protection.RATE_LIMIT] is not Mode.OFF
        self._limiting = modes[Protection.RATE_LIMIT] is Mode.ENFORCE
        self._sanctioning = any(modes[each] is not Mode.OFF for each in SANCTIONING)
        self._enforced = any(modes[each] is Mode.ENFORCE for each in SANCTIONING)
        self._trips: Lru[Hashable, AdmitRequest] = Lru(_TRIPS)
        self.refused_lately = refusals.knows
        """Whether :meth:`remembered` may know something about the subject with this key: no usual trip then."""

    def remembered(self, ctx: RequestContext) -> Denial | None:
        """A refusal that this process still knows, found before the body is read."""
        if not self._charging or ctx.token_pending or ctx.payers or self._rates.free(ctx):
            return None  # (what guards further outside have paid is looked at in settle)
        bucket = self._refusals.find(ctx.subject, (self._rates.main_charge(ctx),))
        return self._refuse(ctx, bucket) if bucket is not None else None

    def known_block(self, ctx: RequestContext) -> AdmitRequest | None:
        """What to ask the store before the body is read: whether a caller is still blocked who was, as far as this
        process knows. None of all others."""
        if not self._enforced:
            return None
        exempt = self._sanctions.exempt_by_head(ctx)
        known = self._store.sanctions.known(ctx.subject, exempt)
        if known is None or self._modes[self._sanctions.owners[known.policy]] is not Mode.ENFORCE:
            return None
        return AdmitRequest(ctx.subject, exempt=exempt)

    async def settle(self, ctx: RequestContext, denial: Denial | None) -> Decision:
        """Pay, be refused, or have the gate's denial recorded."""
        if not self._sanctioning or (denial is not None and denial.code in _KNOWN):
            return Decision(denial)  # who is known to be blocked has nothing to ask the store
        trip = self.usual(ctx) if denial is None else None
        if trip is not None:
            return self.conclude(ctx, trip, await self._store.admit(trip))
        self._note_documents(ctx, denial)
        free = self._rates.free(ctx)
        # A limit that is only watched keeps no offence of another protection from being counted.
        charging = self._charging and not free and (denial is None or self._limiting)
        charges = self._rates.bill(ctx, denial) if charging else ()
        if ctx.charges and charges and denial is None:
            charges = (*charges, *ctx.charges)
        if (impossible := unpayable(charges)) is not None:
            return Decision(impossible)
        lenient = denial is not None and is_lenient(denial)
        if ctx.payers and charges and not lenient:
            return await self._settle_the_rest(ctx, denial, Drawn(ctx, charges))
        if charges and (bucket := self._refusals.find(ctx.subject, charges)) is not None:
            return Decision(self._refuse(ctx, bucket))
        trip = self._trip(ctx, denial, charges)
        if free and trip.offence is None and not ctx.guarded:
            return Decision(denial)
        return self.conclude(ctx, trip, await self._store.admit(trip), denial)

    async def _settle_the_rest(self, ctx: RequestContext, denial: Denial | None, drawn: Drawn) -> Decision:
        """The same where guards further outside have paid a part of the bill to the same store."""
        admitted = False
        try:
            if (bucket := self._refusals.find(ctx.subject, drawn.charges)) is not None:
                return Decision(self._refuse(ctx, bucket))
            trip = self._trip(ctx, denial, drawn.charges)
            outcome = await self._store.admit(trip)
            admitted = outcome.admitted
            decision = self.conclude(ctx, trip, outcome, denial)
            if admitted:
                drawn.keep(ctx, outcome.buckets)
                ctx.buckets = (*outcome.buckets, *drawn.covered)
            return decision
        finally:
            if not admitted:
                drawn.give_back()

    def usual(self, ctx: RequestContext) -> AdmitRequest | None:
        """The trip of a request of which nothing is special: the same one each time that it comes."""
        identity, measured, subject = ctx.identity, ctx.measured, ctx.subject
        special = (
            ctx.payers or ctx.charges or ctx.shared_peer or ctx.cross_site_simple or ctx.preflight
            or ctx.public_operation or ctx.would_refuse or ctx.token_failure is not None
            or self._refusals.knows(subject.key) or ((ctx.allow_listed or ctx.private_peer) and self._rates.free(ctx))
        )  # fmt: skip
        if special or not self._sanctioning:
            return None
        key = (
            subject.key,
            None if identity is None else identity.tier,
            ctx.operation if measured is None else (measured.kind, measured.mutation_root_fields, measured.unmeasured),
        )
        trip = self._trips.get(key)
        if trip is None:
            charges = self._rates.bill(ctx, None) if self._charging else ()
            if unpayable(charges) is not None:
                return None
            trip = self._trip(ctx, None, charges)
            self._trips.put(key, trip)
        return trip

    def conclude(
        self, ctx: RequestContext, trip: AdmitRequest, outcome: AdmitResult, denial: Denial | None = None
    ) -> Decision:
        """What the store's answer means for a request that a gate has let pass, or has denied."""
        lenient = denial is not None and is_lenient(denial)
        if outcome.buckets and not (lenient and outcome.admitted):  # whose client is told of no bucket of its own
            ctx.buckets = outcome.buckets
        if outcome.admitted:
            imposed = outcome.imposed
            return PASSED if denial is None and imposed is None else Decision(denial, imposed)
        ctx.unpaid = True
        self._refusals.remember(trip, outcome)
        refusal = self._denial(outcome)
        expired_in_a_flood = lenient and refusal.code is RATE_LIMITED and ctx.token_failure is not None
        if (outcome.sanction is not None or expired_in_a_flood) and ctx.identity is None:
            self._note_block(ctx, refusal)
        return Decision(refusal, outcome.imposed)

    def _note_block(self, ctx: RequestContext, refusal: Denial) -> None:
        if self._modes[refusal.owner] is Mode.ENFORCE:
            self._blocked.note(ctx.address_subject, refusal)

    @property
    def size_bytes(self) -> int:
        """What is remembered, estimated by the number of trips."""
        return len(self._trips) * _BYTES_PER_TRIP

    def forget(self) -> None:
        """Make every trip anew."""
        self._trips.clear()

    def _note_documents(self, ctx: RequestContext, denial: Denial | None) -> None:
        for refusal in ctx.would_refuse if denial is None else (denial,):
            self._app_documents.note(ctx, refusal)

    def _offence(self, ctx: RequestContext, denial: Denial | None) -> Escalation | None:
        """The policy that a refusal, or what one in monitor mode would be, counts for."""
        offender = denial
        if denial is None and ctx.would_refuse:
            offender = next((would for would in ctx.would_refuse if would.offence), None)
        if offender is None or (offender.offence is PolicyName.DOS and self._app_documents.excuses(ctx)):
            return None
        return self._sanctions.offence(ctx, offender)

    def _trip(self, ctx: RequestContext, denial: Denial | None, charges: Sequence[Charge]) -> AdmitRequest:
        subject, sanctions = ctx.subject, self._sanctions
        lenient = denial is not None and is_lenient(denial)
        return AdmitRequest(  # by position: by name it takes three times as long
            subject,
            tuple(charges),
            sanctions.abuse(ctx) if charges and not lenient else None,
            self._offence(ctx, denial),
            1,
            sanctions.exempt(ctx),
            0 if lenient else self._refusals.take_count(subject),
            self._enforced,
        )

    def _refuse(self, ctx: RequestContext, bucket: Bucket) -> Denial:
        ctx.buckets, ctx.unpaid = (bucket,), True
        return refuse_budget(bucket) or refuse(bucket)

    def _denial(self, outcome: AdmitResult) -> Denial:
        if outcome.sanction is not None:
            return self._sanctions.refuse(outcome.sanction)
        if outcome.unavailable:
            return Denial(STORE_UNAVAILABLE, retry_after_seconds=_RETRY_STORE_SECONDS)
        never = [bucket.charge for bucket in outcome.buckets if math.isinf(bucket.retry_after_seconds)]
        if (impossible := unpayable(never)) is not None:
            return impossible
        short = max(outcome.buckets, key=lambda bucket: bucket.retry_after_seconds)
        return refuse_budget(short) or refuse(short)
