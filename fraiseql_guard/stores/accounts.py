"""An operator's look at a subject's buckets, and corrections: what peek, refund and reset make of a trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fraiseql_guard.context import Bucket, Charge, Subject
from fraiseql_guard.stores.protocol import Store, Trip


async def peek(store: Store, subject: Subject, charges: Sequence[Charge]) -> tuple[Bucket, ...]:
    """The state of the buckets that these charges would take from; nothing is taken."""
    return await _settle(store, subject, [replace(charge, tokens=0) for charge in charges])


async def refund(store: Store, subject: Subject, charges: Sequence[Charge]) -> tuple[Bucket, ...]:
    """Give back what these charges took; a bucket never holds more than its capacity."""
    return await _settle(store, subject, [replace(charge, tokens=-charge.tokens) for charge in charges])


async def reset(store: Store, subject: Subject, charges: Sequence[Charge]) -> tuple[Bucket, ...]:
    """Fill the buckets that these charges take from."""
    return await _settle(store, subject, [replace(charge, tokens=-charge.capacity) for charge in charges])


async def _settle(store: Store, subject: Subject, charges: Sequence[Charge]) -> tuple[Bucket, ...]:
    return (await store.admit(Trip(subject, tuple(charges), bookkeeping=True))).buckets
