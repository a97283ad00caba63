"""Makes the bill of a request: how many tokens it takes from which buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CHARGE_TOO_LARGE, CROSS_SITE_REQUEST, RATE_LIMITED, FailureReason
from fraiseql_guard.core.token_buckets import SHARED_PEER_FACTOR, Bucket, Charge, Limit, mounted_bucket, network_bucket

LENIENCY: Final = 10
"""The bucket of lenient refusals is so many times as large as the anonymous rate's."""


class RateLimits:
    """Makes the bill of a request. The charges of the common cases are made once, here.

    ``settings`` are those in force. ``configured`` are those that the guard was mounted with, before any override, by
    default the same: buckets are named by them.
    """

    def __init__(self, settings: Settings, configured: Settings | None = None) -> None:
        first = configured or settings
        self._origins = settings.cors_origins
        self._burst = settings.rate_limit_burst
        self._first_burst = first.rate_limit_burst
        self._anonymous = self._charge("default", settings.rate_limit_default, first.rate_limit_default)
        self._public = self._charge("public", settings.rate_limit_public, first.rate_limit_public)
        self._shared_anonymous, self._shared_public = _for_many(self._anonymous), _for_many(self._public)
        # Two buckets: what foreign pages send in a visitor's name takes nothing from their expired tokens.
        self._cross_site, self._expired = self._lenient("cross_site"), self._lenient("token_expired")
        self._shared_cross_site, self._shared_expired = _for_many(self._cross_site), _for_many(self._expired)
        sockets = self._charge("sockets", settings.rate_limit_sockets, first.rate_limit_sockets)
        self._sockets = replace(sockets, burst=sockets.limit.tokens, fixed=True)
        self._shared_sockets = _for_many(self._sockets)
        (self._authenticated,) = self._further(
            "authenticated", settings.rate_limit_authenticated, first.rate_limit_authenticated
        ) or (self._anonymous,)
        self._tiers = {
            name: self._charge(name, limit, first.tiers.get(name), kind="tier:")
            for name, limit in settings.tiers.items()
        }
        self._graphql = self._further("graphql", settings.rate_limit_graphql, first.rate_limit_graphql)
        self._query = self._further("graphql_query", settings.rate_limit_graphql_query, first.rate_limit_graphql_query)
        self._mutation = self._further(
            "graphql_mutation", settings.rate_limit_graphql_mutation, first.rate_limit_graphql_mutation
        )

    def _charge(self, policy: str, limit: Limit, first: Limit | None, *, kind: str = "") -> Charge:
        """What a rate charges. One that the guard was mounted without has a bucket by its name alone."""
        name = f"{kind}{policy}"
        bucket = name if first is None else mounted_bucket(name, first, self._first_burst.of(first))
        return Charge(policy, limit, self._burst.of(limit), bucket=bucket)

    def _lenient(self, policy: str) -> Charge:
        many = _grown(self._anonymous, LENIENCY, f"{policy}:{self._anonymous.key}")
        return replace(many, policy=policy, fixed=True)

    def _further(self, policy: str, limit: Limit | None, first: Limit | None) -> tuple[Charge, ...]:
        return (self._charge(policy, limit, first),) if limit else ()

    def free(self, ctx: RequestContext) -> bool:
        """Whether nothing is counted: allow-listed addresses, probes on exempt paths, and preflights for pages of a
        configured origin."""
        expected = ctx.preflight and ctx.from_origin_of(self._origins)
        return ctx.allow_listed or expected or (ctx.private_peer and ctx.place.exempt)

    def main_charge(self, ctx: RequestContext) -> Charge:
        """The caller's own bucket: the tier's, else the user's, else the address's.

        Upgrades to WebSockets have another: clients come back by themselves, and use up nothing that their users need.
        """
        identity = ctx.identity
        if ctx.socket:
            return self._shared_sockets if ctx.shared_peer and identity is None else self._sockets
        if identity is not None:
            return self._tiers.get(identity.tier or "", self._authenticated)
        if ctx.shared_peer:
            return self._shared_public if ctx.public_operation else self._shared_anonymous
        return self._public if ctx.public_operation else self._anonymous

    def bill(self, ctx: RequestContext, denial: Denial | None) -> tuple[Charge, ...]:
        """All charges of a request. A refused one costs its main bucket what the refusal says; a lenient refusal has a
        bucket of its own."""
        # Every request pays from its main bucket; a refused one from that alone.
        main = self.main_charge(ctx)
        if denial is not None:
            if is_lenient(denial):
                return self._with_networks(ctx, self._lenient_charge(ctx, denial))
            tokens = min(denial.tokens, 1 if ctx.socket else main.capacity)
            return self._with_networks(ctx, _take(main, tokens)) if tokens else ()
        # One that passed pays as much as it asks for, from all its buckets.
        tokens = self._tokens(ctx)
        further = self._further_charges(ctx)
        if not further and not ctx.address_subject.networks and tokens == 1:
            return (main,)  # the common case allocates nothing but this
        return (
            *self._with_networks(ctx, _take(main, tokens)),
            *(_take(charge, tokens) for charge in further),
        )

    def _lenient_charge(self, ctx: RequestContext, denial: Denial) -> Charge:
        if denial.code is CROSS_SITE_REQUEST:
            return self._shared_cross_site if ctx.shared_peer else self._cross_site
        return self._shared_expired if ctx.shared_peer else self._expired

    def _further_charges(self, ctx: RequestContext) -> tuple[Charge, ...]:
        if not ctx.operation or ctx.public_operation:
            return ()
        if ctx.identity is not None and ctx.identity.tier in self._tiers:
            return ()  # a tier replaces them all
        measured = ctx.measured
        if measured is None or not measured.complete:  # nothing but the query limits would refuse it: it may be either
            return self._graphql + self._query + self._mutation
        return self._graphql + (self._mutation if measured.kind == "mutation" else self._query)

    def _tokens(self, ctx: RequestContext) -> int:
        measured = ctx.measured
        if measured is None:
            return 1
        if ctx.public_operation:
            return max(1, measured.root_field_count)
        return max(1, measured.mutation_root_fields + measured.unmeasured)

    @staticmethod
    def _with_networks(ctx: RequestContext, main: Charge) -> tuple[Charge, ...]:
        """An anonymous IPv6 caller also pays for the wider networks, which many addresses share."""
        if ctx.identity is not None or not ctx.address_subject.networks:
            return (main,)
        return (
            main,
            *(
                _grown(main, factor, network_bucket(main.key, network))
                for network, factor in ctx.address_subject.networks
            ),
        )


def is_lenient(denial: Denial | None) -> bool:
    """Whether a refusal costs nothing of the rate, because innocent clients are refused for it.

    It has a bucket of its own; to empty that one is no offence. False without a refusal.
    """
    if denial is None or denial.tokens:
        return False
    return denial.code is CROSS_SITE_REQUEST or denial.reason is FailureReason.TOKEN_EXPIRED


def _for_many(charge: Charge) -> Charge:
    """The same for all who look alike behind a proxy. A bucket of another size is another bucket."""
    return _grown(charge, SHARED_PEER_FACTOR, f"{charge.key}*{SHARED_PEER_FACTOR}")


def _grown(charge: Charge, factor: int, bucket: str) -> Charge:
    return replace(charge, limit=charge.limit.times(factor), burst=charge.burst * factor, bucket=bucket)


def _take(charge: Charge, tokens: int) -> Charge:
    return charge if tokens == charge.tokens else replace(charge, tokens=tokens)


def unpayable(charges: Sequence[Charge]) -> Denial | None:
    """The refusal of a charge above its bucket's capacity, which can never be paid; None if all can."""
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
