"""What a guard does with the buckets of a request after its admission: looks at them, takes more, gives back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from fraiseql_guard.checks.admission import Admission
from fraiseql_guard.checks.cost_budgets import CostBudgets, is_budget
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.ledger import Ledger, subject_of, with_tokens
from fraiseql_guard.stores.protocol import Adjustment, AdmitResult, Store

BucketKey = tuple[Hashable, ...]
"""One bucket in one place, whichever guard asks for it."""


class Accounts:
    """Changes the buckets of one guard's requests after admission. ``place`` is where the buckets are (Books.store).

    ``enforced``: whether refusals of its rate limits are answered. Methods raise StoreError as the store does.
    """

    def __init__(
        self,
        store: Store,
        admission: Admission,
        budgets: CostBudgets | None,
        *,
        place: Hashable,
        enforced: bool,
        on_fault: Callable[[Exception], object],
    ) -> None:
        self._store = store
        self._admission = admission
        self._budgets = budgets
        self._place = place
        self.enforced = enforced
        self.on_fault = on_fault

    def keys(self, ctx: RequestContext, charges: Sequence[Charge]) -> list[BucketKey]:
        """Keys of these charges' buckets, equal for guards that share them."""
        return [
            (self._place, subject_of(ctx, charge).key, charge.key, charge.limit, charge.burst) for charge in charges
        ]

    async def look(self, ctx: RequestContext) -> Sequence[Bucket]:
        """The buckets of the request as they are now, or as last seen if the store does not answer."""
        known = ctx.buckets
        if known:
            show(ctx, await self._adjust(ctx, [with_tokens(bucket.charge, 0) for bucket in known]))
        return ctx.buckets

    async def _adjust(self, ctx: RequestContext, charges: Sequence[Charge]) -> Sequence[Bucket]:
        by_subject: dict[object, list[Charge]] = {}
        for charge in charges:
            by_subject.setdefault(subject_of(ctx, charge), []).append(charge)
        found: list[Bucket] = []
        for each in by_subject.values():
            found += await self._store.adjust(Adjustment(subject_of(ctx, each[0]), tuple(each), ctx.paid_alone))
        return found

    def charges(self, ctx: RequestContext, tokens: int, points: int) -> tuple[Charge, ...]:
        """The charges for ``tokens`` from the main buckets and ``points`` from the cost budget. Empty if nothing is
        counted."""
        bills = self._admission.bills
        charges = bills.further(ctx, tokens)
        if points and self._budgets is not None and bills.counts(ctx):
            charges += self._budgets.further(ctx, points)
        return bills.with_beside(ctx, charges)

    async def take(self, ctx: RequestContext, charges: tuple[Charge, ...]) -> AdmitResult:
        """Have the store take all of these charges, or none."""
        ledger = Ledger.of(ctx)  # begun before what is shown of the buckets changes
        result = await self._store.admit(self._admission.further_request(ctx, charges))
        if result.admitted:
            ledger.add(ctx, result.buckets, alone=result.alone)
        show(ctx, result.buckets)
        return result

    async def give_back(self, ctx: RequestContext, *, tokens: int | None, points: int | None) -> None:
        """Give back at most so many of the tokens and points that the request has paid; None: all of them."""
        ledger = Ledger.of(ctx)
        given = (*ledger.give_back(is_rate, tokens), *ledger.give_back(is_budget, points))
        for adjustment in given:
            show(ctx, await self._store.adjust(adjustment))


def is_rate(charge: Charge) -> bool:
    """Whether a charge takes tokens of a rate, not points of a cost budget."""
    return not is_budget(charge)


def show(ctx: RequestContext, buckets: Sequence[Bucket]) -> None:
    """Have the rate limit headers of an answer that has not begun show these buckets."""
    left = {(bucket.charge.key, bucket.charge.limit, bucket.charge.burst): bucket.remaining for bucket in buckets}
    ctx.buckets = tuple(
        [
            bucket if remaining is None else replace(bucket, remaining=remaining)
            for bucket in ctx.buckets
            for remaining in (left.get((bucket.charge.key, bucket.charge.limit, bucket.charge.burst)),)
        ]
    )
