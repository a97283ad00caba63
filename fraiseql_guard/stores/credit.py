"""Tokens that outer guards have taken for a request from buckets that an inner guard shares with them.

Each guard around an app writes its own bill. Where two ask the same store for tokens of the same bucket (one subject,
name, limit and burst), the request pays the larger bill: the inner guard counts on the tokens that were taken outside,
and pays the difference. Tokens are counted on once: where an app makes several requests of one (a batch endpoint that
calls the app again), the first uses them, and the others pay in full.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.ledger import subject_of
from fraiseql_guard.stores.limits import is_override
from fraiseql_guard.stores.protocol import Store

_Credit = dict[Hashable, int]


def place_of(store: Store, settings: Settings) -> Hashable:
    """The place of a store's buckets, equal for guards that share them: the servers, database and namespace of a Redis,
    or the memory of this store alone. ValueError for an unusable Redis URL."""
    if settings.redis_url is None:
        return id(store)
    from fraiseql_guard.stores.redis.client import servers_of  # only for a store on Redis: it loads the client

    return (servers_of(settings.redis_url.reveal()), settings.namespace)


class Drawn:
    """A bill of which outer guards have paid a part. ``charges`` are left to pay; ``covered`` are the buckets that are
    paid in full, as an outer guard last saw them."""

    __slots__ = ("_counted_on", "_ctx", "charges", "covered")

    def __init__(self, ctx: RequestContext, charges: Sequence[Charge]) -> None:
        self._ctx = ctx
        self._counted_on: list[tuple[_Credit, Hashable, int]] = []
        # The tokens that each outer guard has taken and that no guard has counted on yet.
        held = [_credit_of(payer) for payer in ctx.payers]
        left, covered = self._draw_all(held, charges)
        self.charges = tuple(left)
        self.covered = tuple(self._state(ctx.payers, covered))

    def keep(self, ctx: RequestContext, buckets: Sequence[Bucket]) -> None:
        """Note that ``charges`` were paid: inner guards may count on the whole bill."""
        credit = _taken(ctx, buckets)
        for _, key, tokens in self._counted_on:
            credit[key] = credit.get(key, 0) + tokens
        ctx.credit = credit

    def give_back(self) -> None:
        """Note that ``charges`` were not paid: another guard may count on what outer guards have taken."""
        for credit, key, tokens in self._counted_on:
            credit[key] = credit.get(key, 0) + tokens
        self._counted_on = []

    def _draw_all(self, held: Sequence[_Credit], charges: Sequence[Charge]) -> tuple[list[Charge], list[Hashable]]:
        """The charges that are left to pay, and the keys of the buckets that are paid."""
        overridden = self._overridden(held)
        left: list[Charge] = []
        covered: list[Hashable] = []
        for charge in charges:
            if overridden and charge.own:
                continue  # an operator has vouched for the key
            key, tokens = _key_of(self._ctx, charge), charge.tokens
            replaced = bool(overridden) and not charge.fixed
            if replaced:
                # The store replaces all of these charges by the override's windows, each at the cost of the first one.
                key = overridden[0]
                if key in covered:
                    continue
            # Once one of the replaced charges is left to pay, further ones stay as they are: the store drops them.
            if not (replaced and left):
                tokens = self._draw(held, key, tokens)
            if tokens:
                left.append(charge if tokens == charge.tokens else replace(charge, tokens=tokens))
            else:
                covered += overridden if replaced else [key]
        return left, covered

    def _draw(self, held: Sequence[_Credit], key: Hashable, tokens: int) -> int:
        """Count on the tokens that outer guards have taken from one bucket; how many of ``tokens`` are left to pay."""
        for credit in held:
            # Credit that one request counted on is not there for the next one.
            part = min(credit.get(key, 0), tokens)
            if part > 0:
                credit[key] -= part
                self._counted_on.append((credit, key, part))
                tokens -= part
        return tokens

    def _state(self, payers: Sequence[RequestContext], keys: Sequence[Hashable]) -> Iterator[Bucket]:
        """The buckets with these keys, as the nearest guard that has asked for them knows them."""
        found: dict[Hashable, Bucket] = {}
        for payer in reversed(payers):
            # The nearest guard comes last, and wins.
            found |= {_key_of(payer, bucket.charge): bucket for bucket in payer.buckets}
        return (found[key] for key in keys if key in found)

    def _overridden(self, held: Sequence[_Credit]) -> list[Hashable]:
        """The buckets of an override of the limits, the shortest window first, as they were charged; [] if no outer
        guard has met an override."""
        owner = self._ctx.limit_subject.key
        buckets = (key for credit in held for key in credit if isinstance(key, tuple))
        return list(dict.fromkeys(key for key in buckets if key[:2] == owner and is_override(key[2])))


def _credit_of(ctx: RequestContext) -> _Credit:
    """The tokens that a guard has taken for its request and that no other guard has counted on yet."""
    # Computed with the first inner guard that asks.
    if ctx.credit is None:
        ctx.credit = {} if ctx.unpaid else _taken(ctx, ctx.buckets)
    return ctx.credit


def _taken(ctx: RequestContext, buckets: Sequence[Bucket]) -> _Credit:
    taken: _Credit = {}
    for bucket in buckets:
        key = _key_of(ctx, bucket.charge)
        taken[key] = taken.get(key, 0) + bucket.charge.tokens
    return taken


def _key_of(ctx: RequestContext, charge: Charge) -> Hashable:
    """The key of the bucket that a charge takes from. Buckets with another limit or burst have another key."""
    subject = subject_of(ctx, charge)
    name = (subject.group or subject.name) if charge.shared else subject.name
    return (subject.kind, name, charge.key, charge.limit, charge.burst)
