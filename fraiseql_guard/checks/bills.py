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
    """The bills of requests under the settings in force. ``mode`` is that of the rate limits.

    ``configured`` and ``rules``: RateLimits. ``beside``: the keys that limits are for may be chosen at will.
    """

    def __init__(
        self, settings: Settings, configured: Settings | None, rules: RuleTable | None, *, mode: Mode, beside: bool
    ) -> None:
        self._rates = RateLimits(settings, configured, rules)
        self._charging = mode is not Mode.OFF
        self._limiting = mode is Mode.ENFORCE
        self._beside = beside
        self.free = self._rates.free
        """Whether nothing is counted of a request, whatever the mode is."""

    def counts(self, ctx: RequestContext) -> bool:
        """Whether a request is counted at all."""
        return self._charging and not self.free(ctx)

    def main(self, ctx: RequestContext) -> tuple[Charge, ...]:
        """What any request like this one takes from its main buckets, and beside them."""
        return self.with_beside(ctx, self._rates.main_charges(ctx))

    def of(self, ctx: RequestContext, denial: Denial | None) -> tuple[Charge, ...]:
        """All charges of a request that is not free, refused or not."""
        # A limit that is only watched keeps no offence of another protection from being counted.
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
        """What the app takes for a request that it works on: so many tokens more from its main buckets. Empty where
        nothing is counted. What is paid beside is not among it (:meth:`with_beside`)."""
        return self._rates.further(ctx, tokens) if tokens and self.counts(ctx) else ()

    def with_beside(self, ctx: RequestContext, charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
        """These charges, and what the caller pays beside them (:func:`paid_beside`)."""
        return charges + paid_beside(ctx.subject, charges) if self._beside and ctx.keyed is not None else charges
