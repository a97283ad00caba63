"""What guards further outside have taken for a request from buckets that an inner guard shares with them.

Each guard around an app writes its own bill. Where two ask the same store for tokens of the same bucket (one subject,
name, limit and burst), the request pays the larger bill: the inner guard counts on what was taken outside, and pays the
rest. It does so once: of several requests that an app makes of one (a batch endpoint that calls the app again), the
first is paid for, and the others pay for themselves.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from fraiseql_guard.core.context import Bucket, Charge, RequestContext, Subject
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.stores.limits import OVERRIDE
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.stores.redis.client import servers_of

_Credit = dict[Hashable, int]


def place_of(store: Store, settings: Settings) -> Hashable:
    """Where a store's buckets are, equal for guards that share them: the Redis with its database and the beginning of
    its keys, or the memory of this store alone. ValueError if the Redis URL is none."""
    if settings.redis_url is None:
        return id(store)
    return (servers_of(settings.redis_url.reveal()), settings.namespace)


class Drawn:
    """A bill of which guards further outside have paid a part. ``charges`` are what is left of it, and ``covered`` the
    state of the buckets that nothing more is to be taken from."""

    __slots__ = ("_counted_on", "_subject", "charges", "covered")

    def __init__(self, ctx: RequestContext, charges: Sequence[Charge]) -> None:
        self._subject = ctx.subject
        self._counted_on: list[tuple[_Credit, Hashable, int]] = []
        held = [_credit_of(payer) for payer in ctx.payers]
        overridden = next((key for credit in held for key in credit if self._is_override(key)), None)
        left: list[Charge] = []
        covered: list[Hashable] = []
        for charge in charges:
            key, tokens = _key_of(self._subject, charge), charge.tokens
            if overridden is not None and not charge.fixed:
                key = overridden  # the store replaces all of these by one, which costs what the first does
                if key in covered:
                    continue
                tokens = tokens if left else self._draw(held, key, tokens)
            else:
                tokens = self._draw(held, key, tokens)
            if tokens:
                left.append(charge if tokens == charge.tokens else replace(charge, tokens=tokens))
            else:
                covered.append(key)
        self.charges = tuple(left)
        self.covered = tuple(self._state(ctx.payers, covered))

    def keep(self, ctx: RequestContext, buckets: Sequence[Bucket]) -> None:
        """The rest was paid as well: guards further inside may count on all of it."""
        credit = _taken(self._subject, buckets)
        for _, key, tokens in self._counted_on:
            credit[key] = credit.get(key, 0) + tokens
        ctx.credit = credit

    def give_back(self) -> None:
        """The rest was not paid: another guard may count on what was taken outside."""
        for credit, key, tokens in self._counted_on:
            credit[key] = credit.get(key, 0) + tokens
        self._counted_on = []

    def _draw(self, held: Sequence[_Credit], key: Hashable, tokens: int) -> int:
        """Count on as many tokens of one bucket as were taken; how many are left to pay."""
        for credit in held:
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
            found |= {_key_of(payer.subject, bucket.charge): bucket for bucket in payer.buckets}
        return (found[key] for key in keys if key in found)

    def _is_override(self, key: Hashable) -> bool:
        subject = self._subject
        return isinstance(key, tuple) and key[:3] == (subject.kind, subject.name, OVERRIDE)


def _credit_of(ctx: RequestContext) -> _Credit:
    """What a guard has taken for its request, as far as no other has counted on it."""
    if ctx.credit is None:
        ctx.credit = {} if ctx.unpaid else _taken(ctx.subject, ctx.buckets)
    return ctx.credit


def _taken(subject: Subject, buckets: Sequence[Bucket]) -> _Credit:
    taken: _Credit = {}
    for bucket in buckets:
        key = _key_of(subject, bucket.charge)
        taken[key] = taken.get(key, 0) + bucket.charge.tokens
    return taken


def _key_of(subject: Subject, charge: Charge) -> Hashable:
    """One bucket: buckets that differ in what they hold are never taken for the same."""
    name = (subject.group or subject.name) if charge.shared else subject.name
    return (subject.kind, name, charge.key, charge.limit, charge.burst)
