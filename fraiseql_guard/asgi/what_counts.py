"""Adjusts the buckets of a request that has ended: gives back what does not count, and settles the actual cost."""

from __future__ import annotations

import math
from typing import Final

from fraiseql_guard.asgi.accounts import is_rate
from fraiseql_guard.checks.cost_budgets import is_budget
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.rules import FAILURES
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import AdjustmentReason
from fraiseql_guard.stores.late_adjustments import LateAdjustments
from fraiseql_guard.stores.ledger import Ledger, with_tokens
from fraiseql_guard.stores.protocol import Adjustment

_FAILED: Final = 400
_NOT_MODIFIED: Final = 304
_MOST_TIMES: Final = 10
"""The actual cost that an answer names counts up to so many times the estimate."""


class WhatCounts:
    """Decides which answered requests count, and for how much. No request waits for it."""

    def __init__(self, settings: Settings, late: LateAdjustments) -> None:
        self._count = settings.rate_limit_count
        self._not_modified_is_free = settings.rate_limit_not_modified == "refund"
        self._late = late

    @staticmethod
    def decides(settings: Settings, rules: RuleTable | None) -> bool:
        """Whether these settings and rules let anything be changed after an answer."""
        if rules is not None and rules.counts:
            return True
        refunds = settings.rate_limit_count == FAILURES or settings.rate_limit_not_modified == "refund"
        return refunds or settings.cost_header is not None or settings.cost_extension is not None

    def ended(self, ctx: RequestContext, *, failed: bool) -> None:
        """A request has ended. ``failed``: it was an operation, and brought errors or no whole answer."""
        if ctx.denial is not None or ctx.socket or not ctx.buckets:
            return
        if ctx.actual_cost is not None:
            self._settle(ctx, ctx.actual_cost)
        reason = self._free(ctx, failed=failed)
        if reason is not None:
            for adjustment in Ledger.of(ctx).give_back(is_rate, admission_only=True):
                self._late.put(adjustment, reason)

    def _free(self, ctx: RequestContext, *, failed: bool) -> AdjustmentReason | None:
        """Why the request does not count; None if it does. What the client did not get whole counts."""
        complete = ctx.ended_at or ctx.operation_id
        if failed or not complete or not 0 < ctx.status < _FAILED:
            return None
        if ctx.status == _NOT_MODIFIED and self._not_modified_is_free:
            return AdjustmentReason.NOT_MODIFIED
        count = (None if ctx.rule is None else ctx.rule.count) or self._count
        return AdjustmentReason.SUCCESS if count == FAILURES else None

    def _settle(self, ctx: RequestContext, cost: float) -> None:
        """Give back what the operation was charged too much, or take what it was charged too little."""
        ledger = Ledger.of(ctx)
        for subject, charge, alone in list(ledger.estimate(is_budget)):
            actual = math.ceil(min(cost, _MOST_TIMES * charge.tokens))
            if actual < charge.tokens:
                for adjustment in ledger.give_back(charge.__eq__, charge.tokens - actual, admission_only=True):
                    self._late.put(adjustment, AdjustmentReason.COST_BELOW)
            elif actual > charge.tokens:
                extra = Adjustment(subject, (with_tokens(charge, actual - charge.tokens),), alone)
                self._late.put(extra, AdjustmentReason.COST_ABOVE)
