"""Charges what an operation costs to its caller's budget: points per hour, by tier.

A budget is one more bucket of the request's bill. The same call to the store pays it and the rate limits.
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
        # An operation that could not be measured may match any rule.
        of_rules = [rule.limits.get("max_query_complexity", 0) for rule in settings.rules.entries]
        self._unmeasured = max([settings.max_query_complexity, *of_rules])

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Add the charges to the bill. Refuse an operation that costs more than a whole budget: waiting cannot help."""
        if not ctx.operation or ctx.public_operation or ctx.allow_listed:
            return None
        points, budget = self._points(ctx.measured), self._budget_of(ctx)
        if not points or budget is None:
            return None
        # Can the operation ever be paid?
        if points > budget.capacity:
            if _is_known(ctx.measured):
                return Denial(CHARGE_TOO_LARGE, limit=budget.capacity, actual=points, detail=_POLICY)
            points = budget.capacity  # the cost is only assumed: take the whole budget
        ctx.charges = _bill(ctx, budget, points)
        return None

    def further(self, ctx: RequestContext, points: int) -> tuple[Charge, ...]:
        """The charge for ``points`` that the app takes in addition to the request's bill. Empty without a budget."""
        budget = self._budget_of(ctx)
        return () if budget is None or ctx.allow_listed else _bill(ctx, budget, points)

    def _budget_of(self, ctx: RequestContext) -> Charge | None:
        """The budget of the caller's tier, else the default one, else none. Callers that look alike share one."""
        identity = ctx.identity
        tier = identity.tier if identity is not None else None
        budget = self._charges.get(tier or _ANYONE) or self._charges.get(_ANYONE)
        if budget is None or not ctx.looks_alike:
            return budget
        bucket = f"{budget.key}*{SHARED_PEER_FACTOR}"
        return replace(budget, limit=budget.limit.times(SHARED_PEER_FACTOR), bucket=bucket)

    def _points(self, measured: Measured | None) -> int:
        """The cost in points. A request that was not measured completely costs at least what the query limits allow."""
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


def _bill(ctx: RequestContext, budget: Charge, points: int) -> tuple[Charge, ...]:
    """The charges for ``points``: an IPv6 address pays from the budgets of its wider networks as well."""
    charge = replace(budget, tokens=points)
    return (charge, *_of_networks(ctx, charge))


def _of_networks(ctx: RequestContext, own: Charge) -> list[Charge]:
    """The charges of an IPv6 address's wider networks, which have budgets because a /48 holds 65,536 subjects."""
    return [
        replace(own, limit=own.limit.times(factor), bucket=network_bucket(own.key, network))
        for network, factor in ctx.limit_subject.networks
    ]


def is_budget(charge: Charge) -> bool:
    """Whether a charge takes points from a cost budget."""
    return charge.fixed and charge.policy == _POLICY  # a tier may have the same name, but its charges are not fixed


def budget_among(buckets: tuple[Bucket, ...]) -> Bucket | None:
    """The bucket of the caller's cost budget among those that the store has answered with; None without one."""
    return next((bucket for bucket in buckets if is_budget(bucket.charge)), None)


def refuse_budget(bucket: Bucket) -> Denial | None:
    """The refusal for a cost budget that is short; None if the bucket is not a cost budget."""
    if not is_budget(bucket.charge):
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
