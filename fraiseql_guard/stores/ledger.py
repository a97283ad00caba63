"""Records what a request has paid to which buckets, so that no request gets back more than it has paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.protocol import Adjustment


@dataclass(slots=True)
class _Paid:
    """Tokens paid to one bucket, less the tokens given back. ``alone``: the bucket is this process's own; ``later``:
    paid for charges that the app added, not at admission."""

    subject: Subject
    charge: Charge
    alone: bool
    tokens: int
    later: bool = False


class Ledger:
    """The payments of one request."""

    __slots__ = ("_paid",)

    def __init__(self, ctx: RequestContext) -> None:
        buckets = ctx.buckets if ctx.paid is None else ctx.paid
        self._paid = [
            _Paid(subject_of(ctx, bucket.charge), bucket.charge, ctx.paid_alone, bucket.charge.tokens)
            for bucket in (() if ctx.unpaid else buckets)
        ]

    @classmethod
    def of(cls, ctx: RequestContext) -> Ledger:
        """The ledger of a request that was let pass; begun with its payments at admission."""
        ledger: Ledger | None = ctx.ledger
        if ledger is None:
            ledger = ctx.ledger = cls(ctx)
        return ledger

    def add(self, ctx: RequestContext, buckets: Sequence[Bucket], *, alone: bool) -> None:
        """Note payments for charges of the app."""
        for bucket in buckets:
            charge = bucket.charge
            self._paid.append(_Paid(subject_of(ctx, charge), charge, alone, charge.tokens, later=True))

    def give_back(
        self, which: Callable[[Charge], bool], most: int | None = None, *, admission_only: bool = False
    ) -> tuple[Adjustment, ...]:
        """The adjustments that give back up to ``most`` tokens of each matching bucket (None: all that was paid); () if
        there is nothing to give back.

        The tokens count as given back from now on, even if the adjustments fail. ``admission_only``: charges that the
        app added stay paid.
        """
        left: dict[tuple[Subject, str], int] = {}
        parts: list[tuple[_Paid, int]] = []
        # The latest payment comes back first.
        for paid in reversed(self._paid):
            if not which(paid.charge) or (admission_only and paid.later):
                continue
            bucket = (paid.subject, paid.charge.key)
            part = paid.tokens if most is None else min(paid.tokens, left.get(bucket, most))
            if part <= 0:
                continue
            if most is not None:
                left[bucket] = left.get(bucket, most) - part
            paid.tokens -= part
            parts.append((paid, part))
        return tuple(_joined(parts))

    def estimate(self, which: Callable[[Charge], bool]) -> Iterator[tuple[Subject, Charge, bool]]:
        """The matching buckets that were paid at admission: the subject, the charge, whether paid to this process
        alone."""
        return (
            (paid.subject, paid.charge, paid.alone)
            for paid in self._paid
            if which(paid.charge) and paid.tokens and not paid.later
        )


def subject_of(ctx: RequestContext, charge: Charge) -> Subject:
    """The subject whose bucket a charge of a request takes from."""
    return ctx.subject if charge.own else ctx.limit_subject


def _joined(parts: Sequence[tuple[_Paid, int]]) -> Iterator[Adjustment]:
    """One adjustment for each subject and place (the store, or this process) that was paid."""
    by_place: dict[tuple[Subject, bool], list[Charge]] = {}
    for paid, part in parts:
        by_place.setdefault((paid.subject, paid.alone), []).append(with_tokens(paid.charge, -part))
    return (Adjustment(subject, tuple(charges), alone) for (subject, alone), charges in by_place.items())


@lru_cache(maxsize=1024)
def with_tokens(charge: Charge, tokens: int) -> Charge:
    """A charge to the same bucket, of so many tokens."""
    return replace(charge, tokens=tokens)
