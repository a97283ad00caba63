"""Has the caller points left for what this operation costs? Budgets of points per hour, by tier.

A budget is one more bucket of the request's bill, so that it is checked and paid in the same trip as the rate limits.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, TypeGuard

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.measured import Measured
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CHARGE_TOO_LARGE, COST_BUDGET_EXCEEDED, Protection
from fraiseql_guard.core.token_buckets import SHARED_PEER_FACTOR, Bucket, Charge, Limit, mounted_bucket, network_bucket

_POLICY: Final = "cost"
_ANYONE: Final = "default"
_WINDOW_SECONDS: Final = 3600


class CostBudgets:
    """Charges an operation's complexity to its caller: the tier's budget, else ``default``, else none.

    ``configured`` are the settings that the guard was mounted with, before any override (RateLimits).
    """

    protection: Final = Protection.RATE_LIMIT

    def __init__(self, settings: Settings, configured: Settings | None = None) -> None:
        first = (configured or settings).cost_budgets
        self._charges = {
            tier: Charge(_POLICY, _budget(points), bucket=_bucket(tier, first.get(tier)), fixed=True)
            for tier, points in settings.cost_budgets.items()
        }
        self._unmeasured = settings.max_query_complexity

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Add the charges to the bill. What exceeds a whole budget can never be paid: that is no matter of waiting."""
        if not ctx.operation or ctx.public_operation or ctx.allow_listed:
            return None
        points, identity = self._points(ctx.measured), ctx.identity
        if not points:
            return None
        own = self._charges.get((identity and identity.tier) or _ANYONE) or self._charges.get(_ANYONE)
        if own is None:
            return None
        if ctx.shared_peer and identity is None:
            own = replace(own, limit=own.limit.times(SHARED_PEER_FACTOR), bucket=f"{own.key}*{SHARED_PEER_FACTOR}")
        if points > own.capacity:
            if _is_known(ctx.measured):
                return Denial(CHARGE_TOO_LARGE, limit=own.capacity, actual=points, detail=_POLICY)
            points = own.capacity
        own = replace(own, tokens=points)
        ctx.charges = (own,) if identity is not None else (own, *_of_networks(ctx, own))
        return None

    def _points(self, measured: Measured | None) -> int:
        """What could not be measured, and passes where the query limits only watch, costs what these allow."""
        if _is_known(measured):
            return measured.complexity
        return max(self._unmeasured, measured.complexity if measured is not None else 0)


def _is_known(measured: Measured | None) -> TypeGuard[Measured]:
    return measured is not None and measured.complete


def _budget(points: int) -> Limit:
    return Limit(points, _WINDOW_SECONDS)


def _bucket(tier: str, points: int | None) -> str:
    name = f"{_POLICY}:{tier}"
    return name if points is None else mounted_bucket(name, _budget(points), 0)


def _of_networks(ctx: RequestContext, own: Charge) -> list[Charge]:
    """The wider networks of an IPv6 address have budgets too: a /48 is 65,536 of our subjects."""
    return [
        replace(own, limit=own.limit.times(factor), bucket=network_bucket(own.key, network))
        for network, factor in ctx.address_subject.networks
    ]


def _is_budget(bucket: Bucket) -> bool:
    return bucket.charge.fixed and bucket.charge.policy == _POLICY  # a tier may be called so, but is not fixed


def budget_among(buckets: tuple[Bucket, ...]) -> Bucket | None:
    """The caller's budget after the trip, if the request had one."""
    return next((bucket for bucket in buckets if _is_budget(bucket)), None)


def refuse_budget(bucket: Bucket) -> Denial | None:
    """The refusal for a budget that is used up; None if the bucket is no budget."""
    if not _is_budget(bucket):
        return None
    charge, left = bucket.charge, max(0, math.floor(bucket.remaining))
    return Denial(
        COST_BUDGET_EXCEEDED,
        detail=f"{left} of {charge.limit.tokens} points left, {charge.tokens} needed",
        limit=charge.limit.tokens,
        actual=charge.tokens,
        retry_after_seconds=bucket.retry_after_seconds,
        facts=(("remaining", left),),
    )
