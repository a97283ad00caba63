"""What does this request take from which buckets, and is there room? (SPEC section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fraiseql_guard.context import SHARED_PEER_FACTOR, Bucket, Charge, Context, Denial, Limit, network_bucket
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import CHARGE_TOO_LARGE, RATE_LIMITED


class RateLimits:
    """Writes the bill of a request. The charges of the common cases are made once, here."""

    def __init__(self, settings: Settings) -> None:
        self._burst = burst = settings.rate_limit_burst
        self._anonymous = Charge("default", settings.rate_limit_default, burst)
        self._public = Charge("public", settings.rate_limit_public, burst)
        authenticated = settings.rate_limit_authenticated
        self._authenticated = Charge("authenticated", authenticated, burst) if authenticated else self._anonymous
        self._tiers = {name: Charge(name, limit, burst, bucket="tier") for name, limit in settings.tiers.items()}
        self._graphql = self._further("graphql", settings.rate_limit_graphql)
        self._query = self._further("graphql_query", settings.rate_limit_graphql_query)
        self._mutation = self._further("graphql_mutation", settings.rate_limit_graphql_mutation)

    def _further(self, policy: str, limit: Limit | None) -> tuple[Charge, ...]:
        return (Charge(policy, limit, self._burst),) if limit else ()

    def free(self, ctx: Context) -> bool:
        """Whether nothing is counted: allow-listed addresses, and probes on exempt paths."""
        return ctx.allow_listed or (ctx.private_peer and ctx.place.exempt)

    def main_charge(self, ctx: Context) -> Charge:
        """The caller's own bucket: the tier's, else the user's, else the address's."""
        identity = ctx.identity
        if identity is not None:
            return self._tiers.get(identity.tier or "", self._authenticated)
        charge = self._public if ctx.public_operation else self._anonymous
        return replace(charge, limit=charge.limit.times(SHARED_PEER_FACTOR)) if ctx.shared_peer else charge

    def bill(self, ctx: Context, denial: Denial | None) -> tuple[Charge, ...]:
        """All charges of a request. A refused one costs its main bucket what the refusal says."""
        main = self.main_charge(ctx)
        if denial is not None:
            tokens = min(denial.tokens, main.capacity)
            return self._with_networks(ctx, _take(main, tokens)) if tokens else ()
        tokens = self._tokens(ctx)
        further = self._further_charges(ctx)
        if not further and not ctx.address_subject.networks and tokens == 1:
            return (main,)  # the common case allocates nothing but this
        return (
            *self._with_networks(ctx, _take(main, tokens)),
            *(_take(charge, tokens) for charge in further),
        )

    def _further_charges(self, ctx: Context) -> tuple[Charge, ...]:
        if not ctx.operation or ctx.public_operation:
            return ()
        if ctx.identity is not None and ctx.identity.tier in self._tiers:
            return ()  # a tier replaces them all
        measured = ctx.measured
        if measured is None or not measured.complete:  # nothing but the query limits would refuse it: it may be either
            return self._graphql + self._query + self._mutation
        return self._graphql + (self._mutation if measured.kind == "mutation" else self._query)

    def _tokens(self, ctx: Context) -> int:
        measured = ctx.measured
        if measured is None:
            return 1
        if ctx.public_operation:
            return max(1, measured.root_field_count)
        return max(1, measured.mutation_root_fields + measured.unmeasured)

    @staticmethod
    def _with_networks(ctx: Context, main: Charge) -> tuple[Charge, ...]:
        """An anonymous IPv6 caller also pays for the wider networks, which many addresses share."""
        if ctx.identity is not None or not ctx.address_subject.networks:
            return (main,)
        return (
            main,
            *(
                replace(
                    main,
                    limit=main.limit.times(factor),
                    burst=main.burst * factor,
                    bucket=network_bucket(main.key, network),
                )
                for network, factor in ctx.address_subject.networks
            ),
        )


def _take(charge: Charge, tokens: int) -> Charge:
    return charge if tokens == charge.tokens else replace(charge, tokens=tokens)


def unpayable(charges: Sequence[Charge]) -> Denial | None:
    """A charge above a bucket's capacity can never be paid: that is the request's fault, not a matter of waiting."""
    for charge in charges:
        if charge.tokens > charge.capacity:
            return Denial(CHARGE_TOO_LARGE, limit=charge.capacity, actual=charge.tokens, detail=charge.policy, tokens=0)
    return None


def refuse(bucket: Bucket) -> Denial:
    """The refusal for a bucket that is short."""
    charge = bucket.charge
    return Denial(
        RATE_LIMITED,
        detail=f"{charge.policy}: {charge.limit}",
        limit=charge.limit.tokens,
        actual=charge.capacity - int(max(0.0, bucket.remaining)) + charge.tokens,
        retry_after_seconds=bucket.retry_after_seconds,
    )
