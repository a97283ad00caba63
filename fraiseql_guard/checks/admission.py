"""Asks the store about a request, once: pays its whole bill, and has a check's denial recorded.

The store answers in the order 403 (sanction), 429 (rate); else the check's own denial stands.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.checks.app_documents import AppDocuments
from fraiseql_guard.checks.bills import Bills
from fraiseql_guard.checks.cost_budgets import refuse_budget
from fraiseql_guard.checks.rate_limits import is_lenient, refuse, unpayable
from fraiseql_guard.checks.sanctions import SANCTIONING, Sanctions
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.sanction import Escalation
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import BLOCKED, RATE_LIMITED, STORE_UNAVAILABLE, PolicyName, Protection
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.stores.credit import Drawn
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult, Imposed, Store
from fraiseql_guard.stores.refusals import Refusals

_MOST_REQUESTS: Final = 1_000
"""Most usual requests to the store that are kept for reuse."""
_BYTES_PER_REQUEST: Final = 1_500
_RETRY_STORE_SECONDS: Final = 1.0
_KNOWN: Final = (BLOCKED, RATE_LIMITED)
"""Codes of refusals that repeat what the store has said a moment ago."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the store's answer means: the denial, if any, and the sanction that this request brought about, if any."""

    denial: Denial | None
    imposed: Imposed | None = None


PASSED: Final = Decision(None)
"""The request may pass, and nothing else happened."""


class Admission:
    """Asks the store about a request, once, and only if there is something to ask.

    The store requests of usual HTTP requests are kept for reuse, as long as the settings are in force. ``modes`` has
    every protection. ``configured``, ``rules`` and ``beside`` are those of :class:`Bills`.
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
        rules: RuleTable | None = None,
        beside: bool = False,
    ) -> None:
        self._store = store
        self._refusals = refusals
        self._blocked = blocked
        self._app_documents = app_documents
        self._modes = modes
        self.refused_lately = refusals.knows
        """Whether the process remembers a recent refusal of the subject with this key; its requests are not usual
        then."""
        self.bills: Final = Bills(settings, configured, rules, mode=modes[Protection.RATE_LIMIT], beside=beside)
        self._sanctions = Sanctions(settings, modes)
        self._sanctioning = any(modes[each] is not Mode.OFF for each in SANCTIONING)
        self._enforced = any(modes[each] is Mode.ENFORCE for each in SANCTIONING)
        self._usual: Lru[Hashable, AdmitRequest] = Lru(_MOST_REQUESTS)

    def remembered(self, ctx: RequestContext) -> Denial | None:
        """The refusal that this process remembers for the caller, found before the body is read; None without one."""
        if (ctx.token_pending and not ctx.socket) or not self.bills.counts(ctx):
            return None
        if ctx.payers:
            return None  # admit() finds out what guards further outside have paid
        if ctx.rules is not None and ctx.rules.spares:
            return None  # admit() knows which buckets pay
        bucket = self._refused_bucket(ctx, self.bills.main(ctx), ctx.keyed)
        return self._refuse(ctx, bucket) if bucket is not None else None

    def known_wait(self, ctx: RequestContext) -> float | None:
        """Seconds until the caller's main buckets can pay, as this process remembers; None if it remembers no refusal.
        Nothing is counted."""
        bucket = self._refusals.find(ctx.subject, self.bills.main(ctx), counts=False, pays=ctx.keyed)
        return None if bucket is None else bucket.retry_after_seconds

    def known_block(self, ctx: RequestContext) -> AdmitRequest | None:
        """The store request that asks whether a caller is still blocked, for use before the body is read.

        None if this process knows of no block of the caller.
        """
        if not self._enforced:
            return None
        exempt = self._sanctions.exempt_by_head(ctx)
        known = self._store.sanctions.known(ctx.subject, exempt)
        if known is None or self._modes[self._sanctions.owners[known.policy]] is not Mode.ENFORCE:
            return None
        return AdmitRequest(ctx.subject, exempt=exempt)

    def binds(self, ctx: RequestContext, policy: PolicyName) -> bool:
        """Whether a sanction of this policy, in force for the caller, refuses this request."""
        owner = self._sanctions.owners[policy]
        return self._modes[owner] is Mode.ENFORCE and policy not in self._sanctions.exempt_by_head(ctx)

    async def admit(self, ctx: RequestContext, denial: Denial | None) -> Decision:
        """Settle the request's bill with the store, or have the store record a check's ``denial``. StoreError as from
        the store."""
        if not self._sanctioning or (denial is not None and denial.code in _KNOWN):
            return Decision(denial)  # the store has nothing to add
        if denial is None and (usual := self.usual_request(ctx)) is not None:
            return self.conclude(ctx, usual, await self._store.admit(usual))
        self._note_documents(ctx, denial)
        return await self._admit_special(ctx, denial)

    async def _admit_special(self, ctx: RequestContext, denial: Denial | None) -> Decision:
        """As :meth:`admit`, for a request that is not usual or that a check has denied."""
        # What does the request cost, and can that ever be paid?
        free = self.bills.free(ctx)
        charges = () if free else self.bills.of(ctx, denial)
        if (impossible := unpayable(charges)) is not None:
            return Decision(impossible)
        if ctx.payers and charges and not is_lenient(denial):
            return await self._admit_the_rest(ctx, denial, Drawn(ctx, charges))
        # Does this process know the store's answer?
        pays = None if is_lenient(denial) else ctx.keyed
        if charges and (bucket := self._refused_bucket(ctx, charges, pays)) is not None:
            return Decision(self._refuse(ctx, bucket))
        request = self._request(ctx, denial, charges)
        if free and request.offence is None and not ctx.guarded:
            return Decision(denial)
        return self.conclude(ctx, request, await self._store.admit(request), denial)

    async def _admit_the_rest(self, ctx: RequestContext, denial: Denial | None, drawn: Drawn) -> Decision:
        """As :meth:`admit`, where outer guards have paid a part of the bill to the same store."""
        admitted = False
        try:
            if (bucket := self._refused_bucket(ctx, drawn.charges, ctx.keyed)) is not None:
                return Decision(self._refuse(ctx, bucket))
            request = self._request(ctx, denial, drawn.charges)
            result = await self._store.admit(request)
            admitted = result.admitted
            decision = self.conclude(ctx, request, result, denial)
            if admitted:
                drawn.keep(ctx, result.buckets)
                ctx.paid = result.buckets
                ctx.buckets = (*result.buckets, *drawn.covered)
            return decision
        finally:
            if not admitted:
                drawn.give_back()

    def further_request(self, ctx: RequestContext, charges: tuple[Charge, ...]) -> AdmitRequest:
        """The store request for tokens that the app takes beyond the request's bill. A short bucket is no offence
        then."""
        return AdmitRequest(
            ctx.subject,
            charges,
            exempt=self._sanctions.exempt(ctx),
            enforced=self._enforced,
            limit_subject=ctx.keyed,
        )

    def usual_request(self, ctx: RequestContext) -> AdmitRequest | None:
        """The store request of a usual HTTP request; None for a special one (:meth:`_is_special`).

        Usual requests of one subject, tier and kind of operation share one store request, which is made once.
        """
        if not self._sanctioning or self._is_special(ctx):
            return None
        identity, measured = ctx.identity, ctx.measured
        key = (
            ctx.subject.key,
            None if ctx.keyed is None else ctx.keyed.key,
            None if identity is None else identity.tier,
            ctx.operation if measured is None else (measured.kind, measured.mutation_root_fields, measured.unmeasured),
            ctx.patience_seconds,
            ctx.rule,
        )
        request = self._usual.get(key)
        if request is None:
            charges = self.bills.of(ctx, None)
            if unpayable(charges) is not None:
                return None
            request = self._request(ctx, None, charges)
            self._usual.put(key, request)
        return request

    def _is_special(self, ctx: RequestContext) -> bool:
        """Whether the bill depends on more than the subject, its tier and the kind of the operation."""
        # What checks, and guards further outside, found out.
        if ctx.payers or ctx.charges or ctx.would_refuse or ctx.token_failure is not None or ctx.rule_shares:
            return True
        # What decides who pays from which bucket.
        if _another_bucket_pays(ctx) or self.refused_lately(ctx.subject.key):
            return True
        if ctx.keyed is not None and self.refused_lately(ctx.keyed.key):
            return True
        return (ctx.allow_listed or ctx.private_peer) and self.bills.free(ctx)

    def conclude(
        self, ctx: RequestContext, request: AdmitRequest, result: AdmitResult, denial: Denial | None = None
    ) -> Decision:
        """Turn the store's answer into the decision about a request that the checks have let pass, or denied
        (``denial``)."""
        lenient = is_lenient(denial)
        if result.buckets and not (lenient and result.admitted):  # the answer shows no bucket of lenient refusals
            ctx.buckets = result.buckets
        if result.alone:
            ctx.paid_alone = True
        if result.admitted:
            return PASSED if denial is None and result.imposed is None else Decision(denial, result.imposed)
        ctx.unpaid = True
        self._refusals.remember(request, result)
        refusal = self._refusal(result)
        if result.sanction is not None or (lenient and _is_flood_of_expired_tokens(ctx, refusal)):
            self._note_block(ctx, refusal)
        return Decision(refusal, result.imposed)

    def _note_block(self, ctx: RequestContext, refusal: Denial) -> None:
        """Note the refused address, so that Authentication verifies only a few more of its tokens."""
        if ctx.identity is None and self._modes[refusal.owner] is Mode.ENFORCE:
            self._blocked.note(ctx.address_subject, refusal)

    @property
    def size_bytes(self) -> int:
        """Size of the kept store requests, estimated by their number."""
        return len(self._usual) * _BYTES_PER_REQUEST

    def forget(self) -> None:
        """Drop the kept store requests, so that every one is made anew."""
        self._usual.clear()

    def _note_documents(self, ctx: RequestContext, denial: Denial | None) -> None:
        for refusal in ctx.would_refuse if denial is None else (denial,):
            self._app_documents.note(ctx, refusal)

    def _offence(self, ctx: RequestContext, denial: Denial | None) -> Escalation | None:
        """The policy that a denial counts for as an offence: ``denial``, else one that monitor mode has only noted."""
        offender = denial
        if denial is None and ctx.would_refuse:
            offender = next((would for would in ctx.would_refuse if would.offence), None)
        if offender is None or (offender.offence is PolicyName.DOS and self._app_documents.excuses(ctx)):
            return None
        return self._sanctions.offence(ctx, offender)

    def _request(self, ctx: RequestContext, denial: Denial | None, charges: Sequence[Charge]) -> AdmitRequest:
        """The store request: which sanctions bind, which charges to pay, what counts as an offence."""
        subject, sanctions = ctx.subject, self._sanctions
        lenient = is_lenient(denial)
        # Client libraries reopen sockets by themselves, and a rule that only monitors must not lead to a block.
        harmless = ctx.socket or lenient or (ctx.rule is not None and ctx.rule.monitors)
        return AdmitRequest(  # by position: by name it takes three times as long
            subject,
            tuple(charges),
            sanctions.abuse(ctx) if charges and not harmless else None,
            self._offence(ctx, denial),
            1,
            sanctions.exempt(ctx),
            0 if harmless else self._refusals.take_count(subject),
            self._enforced,
            ctx.patience_seconds,
            None,
            None if lenient else ctx.keyed,
        )

    def _refused_bucket(self, ctx: RequestContext, charges: Sequence[Charge], pays: Subject | None) -> Bucket | None:
        if ctx.in_turn:
            return None
        counts = not ctx.socket and not ctx.patience_seconds and (ctx.rule is None or not ctx.rule.monitors)
        return self._refusals.find(ctx.subject, charges, counts=counts, pays=pays)

    def _refuse(self, ctx: RequestContext, bucket: Bucket) -> Denial:
        ctx.buckets, ctx.unpaid = (bucket,), True
        return refuse_budget(bucket) or refuse(bucket)

    def _refusal(self, result: AdmitResult) -> Denial:
        """The refusal for a request that the store did not admit."""
        if result.sanction is not None:
            return self._sanctions.refuse(result.sanction)
        if result.unavailable:
            return Denial(STORE_UNAVAILABLE, retry_after_seconds=_RETRY_STORE_SECONDS)
        never = [bucket.charge for bucket in result.buckets if math.isinf(bucket.retry_after_seconds)]
        if (impossible := unpayable(never)) is not None:
            return impossible
        short = max(result.buckets, key=lambda bucket: bucket.retry_after_seconds)
        return refuse_budget(short) or refuse(short)


def _another_bucket_pays(ctx: RequestContext) -> bool:
    """Whether the request is paid from another bucket than its subject's own."""
    return ctx.socket or ctx.shared_peer or ctx.cross_site_simple or ctx.preflight or ctx.public_operation


def _is_flood_of_expired_tokens(ctx: RequestContext, refusal: Denial) -> bool:
    """Whether the bucket of expired tokens, which are refused leniently, is empty."""
    return refusal.code is RATE_LIMITED and ctx.token_failure is not None
