"""Makes the whole bill of a request: what its rates charge, what checks have added, and what its caller pays beside a
key that callers may choose at will."""

from __future__ import annotations

from fraiseql_guard.checks.rate_limits import RateLimits, is_lenient, paid_beside
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.token_buckets import Charge


class Bills:
    """Makes the bills of requests under the settings in force.

    ``mode`` is that of the rate limits. ``configured`` and ``rules`` are those of RateLimits. ``beside``: callers can
    choose the keys that limits count by, so they also pay from buckets of their own (:func:`paid_beside`).
    """

    def __init__(
        self, settings: Settings, configured: Settings | None, rules: RuleTable | None, *, mode: Mode, beside: bool
    ) -> None:
        self._rates = RateLimits(settings, configured, rules)
        self._charging = mode is not Mode.OFF
        self._limiting = mode is Mode.ENFORCE
        self._beside = beside
        self.free = self._rates.free
        """Whether a request is exempt from all counting, in every mode."""

    def counts(self, ctx: RequestContext) -> bool:
        """Whether a request is counted at all."""
        return self._charging and not self.free(ctx)

    def main(self, ctx: RequestContext) -> tuple[Charge, ...]:
        """What a request takes from its caller's main buckets, and what its caller pays beside them."""
        return self.with_beside(ctx, self._rates.main_charges(ctx))

    def of(self, ctx: RequestContext, denial: Denial | None) -> tuple[Charge, ...]:
        """All charges of a request that is not free, refused or not."""
        # A rate limit in monitor mode must not stand in the way of another protection's offence.
        if not self._charging or (denial is not None and not self._limiting):
            return ()
        charges = self._rates.bill(ctx, denial)
        if denial is None and ctx.charges:
            charges = (*charges, *ctx.charges)
        return charges if is_lenient(denial) else self.with_beside(ctx, charges)

    def of_passed(self, ctx: RequestContext) -> tuple[Charge, ...]:
        """What a request that passed the checks would pay; empty if nothing is counted."""
        return self.of(ctx, None) if self.counts(ctx) else ()

    def further(self, ctx: RequestContext, tokens: int) -> tuple[Charge, ...]:
        """The charges for ``tokens`` that the app takes in addition, from the request's main buckets. Empty where
        nothing is counted. Without what the caller pays beside them (:meth:`with_beside`)."""
        return self._rates.further(ctx, tokens) if tokens and self.counts(ctx) else ()

    def with_beside(self, ctx: RequestContext, charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
        """These charges, and what the caller pays beside them (:func:`paid_beside`)."""
        return charges + paid_beside(ctx.subject, charges) if self._beside and ctx.keyed is not None else charges
