"""Makes the bill of a request: how many tokens it takes from which buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.rule_candidates import RuleInForce
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CHARGE_TOO_LARGE, CROSS_SITE_REQUEST, RATE_LIMITED, FailureReason
from fraiseql_guard.core.token_buckets import SHARED_PEER_FACTOR, Bucket, Charge, Rate, charges_of, network_bucket

_ANONYMOUS: Final = "default"
LENIENCY: Final = 10
"""How many times larger the bucket of lenient refusals is than the bucket of the anonymous rate."""


class RateLimits:
    """Makes the bill of a request. The charges of the common cases are made once, in the constructor.

    ``settings`` are those in force. ``configured`` are those that the guard was mounted with, before any override, by
    default the same; they name the buckets. ``rules`` may have rates of their own.
    """

    def __init__(self, settings: Settings, configured: Settings | None = None, rules: RuleTable | None = None) -> None:
        first = configured or settings
        self._origins = settings.cors_origins
        self._burst = settings.rate_limit_burst
        self._first_burst = first.rate_limit_burst
        self._anonymous = self._charges(_ANONYMOUS, settings.rate_limit_default, first.rate_limit_default)
        self._public = self._charges("public", settings.rate_limit_public, first.rate_limit_public)
        self._shared_anonymous, self._shared_public = _for_shared_peer(self._anonymous), _for_shared_peer(self._public)
        # Two buckets, so that requests of foreign pages in a visitor's name do not use up the room for expired tokens.
        self._cross_site, self._expired = (
            self._make_lenient_charges("cross_site"),
            self._make_lenient_charges("token_expired"),
        )
        self._shared_cross_site, self._shared_expired = (
            _for_shared_peer(self._cross_site),
            _for_shared_peer(self._expired),
        )
        self._sockets = self._make_socket_charges(settings.rate_limit_sockets, first.rate_limit_sockets)
        self._shared_sockets = _for_shared_peer(self._sockets)
        self._authenticated = (
            self._charges("authenticated", settings.rate_limit_authenticated, first.rate_limit_authenticated)
            or self._anonymous
        )
        self._tiers = {
            name: self._charges(name, rate, first.tiers.get(name), kind="tier:")
            for name, rate in settings.tiers.items()
        }
        self._graphql = self._charges("graphql", settings.rate_limit_graphql, first.rate_limit_graphql)
        self._query = self._charges("graphql_query", settings.rate_limit_graphql_query, first.rate_limit_graphql_query)
        self._mutation = self._charges(
            "graphql_mutation", settings.rate_limit_graphql_mutation, first.rate_limit_graphql_mutation
        )

        self._of_rules = {} if rules is None else self._rule_charges(rules)

    def _rule_charges(self, rules: RuleTable) -> Mapping[str, _RuleCharges]:
        """The charges of the rules' rates, by the name of the rule."""
        rated = {rule.name: rule.rate for rule in rules.in_force if rule.rate is not None}
        charges = {name: charges_of(rate, f"rule:{name}", self._burst) for name, rate in rated.items()}
        return {name: _RuleCharges(own, _for_shared_peer(own)) for name, own in charges.items()}

    def _charges(self, policy: str, rate: Rate | None, first: Rate | None, *, kind: str = "") -> tuple[Charge, ...]:
        """The charges of a rate; none without a rate. ``first`` is the rate that the guard was mounted with."""
        if rate is None:
            return ()
        return charges_of(
            rate, policy, self._burst, name=f"{kind}{policy}", mounted=first, mounted_burst=self._first_burst
        )

    def _make_lenient_charges(self, policy: str) -> tuple[Charge, ...]:
        many = [_enlarged(charge, LENIENCY, f"{policy}:{charge.key}") for charge in self._anonymous]
        shortest, *others = [replace(charge, fixed=True) for charge in many]
        further = [replace(each, policy=f"{policy}-{each.limit.window}", window_of=policy) for each in others]
        return (replace(shortest, policy=policy), *further)

    def _make_socket_charges(self, rate: Rate, first: Rate) -> tuple[Charge, ...]:
        """The charges of upgrades. The burst of the shortest window equals its rate: clients reconnect all at once."""
        shortest, *others = self._charges("sockets", rate, first)
        return (
            replace(shortest, burst=shortest.limit.tokens, fixed=True),
            *(replace(charge, fixed=True) for charge in others),
        )

    def free(self, ctx: RequestContext) -> bool:
        """Whether nothing is counted: allow-listed addresses, probes on exempt paths, and preflights for pages of a
        configured origin."""
        expected = ctx.preflight and ctx.from_origin_of(self._origins)
        return ctx.allow_listed or expected or (ctx.private_peer and ctx.place.exempt)

    def main_charges(self, ctx: RequestContext) -> tuple[Charge, ...]:
        """One token from each of the caller's own buckets: those of the rule, else of the tier, else of the user, else
        of the address, one for each window.

        Upgrades to WebSockets have buckets of their own, so that clients which reconnect by themselves use up nothing
        that their users need.
        """
        rule = ctx.rule
        if rule is not None and rule.rate is not None and not rule.beside:
            return self._charges_of_rule(ctx, rule)
        return self._without_rule(ctx)

    def _charges_of_rule(self, ctx: RequestContext, rule: RuleInForce) -> tuple[Charge, ...]:
        found = self._of_rules[rule.name]
        return found.shared if ctx.looks_alike else found.own

    def _without_rule(self, ctx: RequestContext) -> tuple[Charge, ...]:
        identity = ctx.identity
        if ctx.socket:
            return self._shared_sockets if ctx.looks_alike else self._sockets
        alike = ctx.looks_alike
        if identity is not None:
            charges = self._tiers.get(identity.tier or "", self._authenticated)
            return _for_shared_peer(charges) if alike else charges
        if alike:
            return self._shared_public if ctx.public_operation else self._shared_anonymous
        return self._public if ctx.public_operation else self._anonymous

    def bill(self, ctx: RequestContext, denial: Denial | None) -> tuple[Charge, ...]:
        """All charges of a request. A refused one takes ``denial.tokens`` from its main buckets; a lenient refusal
        takes from buckets of its own."""
        # A refused request pays from its main buckets alone, as far as they can pay.
        main = self.main_charges(ctx)
        if denial is not None:
            if is_lenient(denial):
                return self._with_networks(ctx.subject, self._lenient_charges(ctx, denial))
            tokens = min(denial.tokens, 1) if ctx.socket else denial.tokens
            if not tokens:
                return ()
            return self._with_networks(
                ctx.limit_subject, [_with_tokens(charge, min(tokens, charge.capacity)) for charge in main]
            )
        # A request that passed pays for each of its operations, from all its buckets.
        if ctx.rule is not None:
            return self._bill_by_rules(ctx, ctx.rule)
        tokens = self._tokens(ctx)
        further = self._further_charges(ctx)
        pays = ctx.limit_subject
        if not further and not pays.networks and tokens == 1:
            return main  # the common case allocates nothing
        return (
            *self._with_networks(pays, [_with_tokens(charge, tokens) for charge in main]),
            *[_with_tokens(charge, tokens) for charge in further],
        )

    def further(self, ctx: RequestContext, tokens: int) -> tuple[Charge, ...]:
        """The charges for ``tokens`` more from a request's main buckets."""
        return self._with_networks(
            ctx.limit_subject, [_with_tokens(charge, tokens) for charge in self.main_charges(ctx)]
        )

    def _bill_by_rules(self, ctx: RequestContext, rule: RuleInForce) -> tuple[Charge, ...]:
        """The charges of a request that a rule matches, or of a batch in which a rule matches some operations."""
        if not ctx.rule_shares:
            return self._bill_of_one(ctx, rule, self._tokens(ctx))
        charges: dict[str, Charge] = {}
        for share in ctx.rule_shares:
            tokens = share.root_field_count if ctx.public_operation else share.tokens
            for charge in self._bill_of_one(ctx, share.rule, max(1, tokens)):
                before = charges.get(charge.key)
                charges[charge.key] = charge if before is None else _with_tokens(charge, before.tokens + charge.tokens)
        return tuple(charges.values())

    def _bill_of_one(self, ctx: RequestContext, rule: RuleInForce | None, tokens: int) -> tuple[Charge, ...]:
        """The charges of operations that take ``tokens`` without a rule; none where ``rule`` makes them free."""
        if rule is not None and rule.cost is not None:
            tokens *= rule.cost
        if not tokens:
            return ()
        pays = ctx.limit_subject
        own: tuple[Charge, ...] = ()
        if rule is not None and rule.rate is not None:
            own = self._with_networks(
                pays, [_with_tokens(charge, tokens) for charge in self._charges_of_rule(ctx, rule)]
            )
            if not rule.beside:
                return own
        usual = self._with_networks(pays, [_with_tokens(charge, tokens) for charge in self._without_rule(ctx)])
        return (*usual, *[_with_tokens(charge, tokens) for charge in self._further_charges(ctx)], *own)

    def _lenient_charges(self, ctx: RequestContext, denial: Denial) -> tuple[Charge, ...]:
        if denial.code is CROSS_SITE_REQUEST:
            return self._shared_cross_site if ctx.shared_peer else self._cross_site
        return self._shared_expired if ctx.shared_peer else self._expired

    def _further_charges(self, ctx: RequestContext) -> tuple[Charge, ...]:
        if not ctx.operation or ctx.public_operation:
            return ()
        if ctx.identity is not None and ctx.identity.tier in self._tiers:
            return ()  # a tier replaces them all
        measured = ctx.measured
        if measured is None or not measured.complete:  # where the query limits do not refuse it, it may be either kind
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
    def _with_networks(pays: Subject, main: Sequence[Charge]) -> tuple[Charge, ...]:
        """The charges, and those of an IPv6 address's wider networks, which many addresses share."""
        return (*main, *_of_networks(pays, main)) if pays.networks else tuple(main)


def _of_networks(subject: Subject, charges: Sequence[Charge]) -> list[Charge]:
    return [
        _enlarged(charge, factor, network_bucket(charge.key, network))
        for network, factor in subject.networks
        for charge in charges
    ]


def paid_beside(subject: Subject, charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """What a caller pays from buckets of their own, beside those of a key that they may choose at will. These buckets
    are SHARED_PEER_FACTOR times as large, so that any number of keys brings no more than that."""
    own = [
        replace(charge, fixed=True, own=True)
        for charge in _for_shared_peer([charge for charge in charges if not charge.shared])
    ]
    return (*own, *_of_networks(subject, own))


@dataclass(frozen=True, slots=True)
class _RuleCharges:
    """The charges of one rule's rate: for one caller, and for all callers who look alike behind an untrusted proxy."""

    own: tuple[Charge, ...]
    shared: tuple[Charge, ...]


def is_lenient(denial: Denial | None) -> bool:
    """Whether a refusal takes nothing from the caller's rate, because it meets innocent clients. False without a
    refusal.

    Lenient refusals have a bucket of their own, and to empty it is no offence.
    """
    if denial is None or denial.tokens:
        return False
    return denial.code is CROSS_SITE_REQUEST or denial.reason is FailureReason.TOKEN_EXPIRED


def _for_shared_peer(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """The charges for all callers who look alike behind an untrusted proxy, from larger buckets with names of their
    own."""
    return tuple(_enlarged(charge, SHARED_PEER_FACTOR, f"{charge.key}*{SHARED_PEER_FACTOR}") for charge in charges)


def _enlarged(charge: Charge, factor: int, bucket: str) -> Charge:
    return replace(charge, limit=charge.limit.times(factor), burst=charge.burst * factor, bucket=bucket)


def _with_tokens(charge: Charge, tokens: int) -> Charge:
    return charge if tokens == charge.tokens else replace(charge, tokens=tokens)


def unpayable(charges: Sequence[Charge]) -> Denial | None:
    """The refusal of a charge above its bucket's capacity, which waiting cannot pay; None if all charges can be paid.

    Of several such charges it names the one with the smallest bucket: a request that fits into that bucket fits into
    all.
    """
    smallest: Charge | None = None
    for charge in charges:
        if charge.tokens > charge.capacity and (smallest is None or charge.capacity < smallest.capacity):
            smallest = charge
    if smallest is None:
        return None
    return Denial(CHARGE_TOO_LARGE, limit=smallest.capacity, actual=smallest.tokens, detail=smallest.policy, tokens=0)


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
