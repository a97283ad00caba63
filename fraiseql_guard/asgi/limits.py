"""Where an app looks at the limits of a request that it works on, takes more of them, or gives back.

mine = limits(request)                                   # a Starlette request or websocket, or an ASGI scope
if not (await mine.charge(5)).admitted:                  # five tokens more for an export
    return JSONResponse(..., 429)
...
await mine.refund()                                      # nothing was done: it costs nothing
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.asgi.accounts import Accounts, BucketKey
from fraiseql_guard.asgi.logins import MARK
from fraiseql_guard.core.context import RequestContext, outers
from fraiseql_guard.core.request import context_of
from fraiseql_guard.core.token_buckets import Bucket
from fraiseql_guard.stores.protocol import AdmitResult

_ASK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class BucketState:
    """How one bucket of a request is."""

    policy: str
    """Its name, as RateLimit-Policy shows it; ``cost`` is the cost budget, in points."""
    limit: int
    """Tokens that come back in a window."""
    window_seconds: int
    remaining: int
    """Whole tokens that are left."""
    reset_seconds: float
    """Until it is full again."""
    short: bool
    """Whether another request like this one would be refused now."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What became of :meth:`Limits.charge`."""

    admitted: bool
    """Whether all was taken. In monitor mode, and where nothing is counted, it is true in any case."""
    retry_after_seconds: float
    """Until it could be taken: 0 if it was, infinity if no waiting helps."""
    remaining: int | None
    """Whole tokens (points) left in the bucket that is nearest to its end; None where nothing is counted."""


_UNCOUNTED: Final = Charged(admitted=True, retry_after_seconds=0.0, remaining=None)


class Limits:
    """The limits of one request. Nothing in here raises for the store; ValueError for negative numbers.

    Where guards stand around guards, each of them is asked, and a bucket that they share is taken from once.
    """

    __slots__ = ("_guards",)

    def __init__(self, guards: Sequence[tuple[Accounts, RequestContext]]) -> None:
        self._guards = guards

    async def peek(self) -> tuple[BucketState, ...]:
        """Every bucket that the request has paid from, as it is now. Takes nothing. Empty where nothing is counted.

        While the store does not answer: as last seen.
        """
        found: dict[BucketKey, BucketState] = {}
        for accounts, ctx in self._guards:
            try:
                buckets = await accounts.look(ctx)
            except Exception as error:  # noqa: BLE001 - a look is no reason to fail a request
                accounts.on_fault(error)
                buckets = ctx.buckets
            keys = accounts.keys(ctx, [bucket.charge for bucket in buckets])
            for key, bucket in zip(keys, buckets, strict=True):
                found.setdefault(key, _state(bucket))
        return tuple(found.values())

    async def charge(self, tokens: int = 0, *, points: int = 0) -> Charged:
        """Take so many tokens more from the caller's main buckets, in all their windows, and points from the cost
        budget, if there is one: all or nothing. What the app does if it is refused is its own matter."""
        _refuse_negative(tokens, points)
        seen: set[BucketKey] = set()
        taken: list[tuple[Accounts, RequestContext]] = []
        told: Charged = _UNCOUNTED
        for accounts, ctx in self._guards:
            charges = accounts.charges(ctx, tokens, points)
            keys = accounts.keys(ctx, charges)
            own = tuple([charge for charge, key in zip(charges, keys, strict=True) if key not in seen])
            seen.update(keys)
            if not own:
                continue
            told = _tighter(told, await _take(accounts, ctx, own))
            if not told.admitted:
                # What the guards further inside have taken goes back: all or nothing.
                for inner, inner_ctx in taken:
                    await _give_back(inner, inner_ctx, tokens, points)
                return told
            taken.append((accounts, ctx))
        return told

    async def refund(self, tokens: int | None = None, *, points: int | None = None) -> None:
        """Give back up to so many of the tokens (points) that the request has paid to each bucket; without numbers all.

        Never more than was paid, however often it is asked for. What was paid in an outage goes back to this process's
        own buckets; what was paid to a store that does not answer now stays paid.
        """
        _refuse_negative(tokens or 0, points or 0)
        everything = tokens is None and points is None
        for accounts, ctx in self._guards:
            await _give_back(
                accounts,
                ctx,
                None if everything else tokens or 0,
                None if everything else points or 0,
            )


def limits(request: Any) -> Limits:
    """The limits of a request: a Starlette request or websocket, or an ASGI scope.

    Where no guard counts it, nothing is limited: there is nothing to see, every charge is admitted.
    """
    scope: Any = request if isinstance(request, Mapping) else request.scope
    guard, ctx = scope.get(MARK), context_of(scope)
    if guard is None or ctx is None:
        return Limits(())
    around = [(outer.accounts, outer) for outer in outers(ctx) if outer.accounts is not None]
    return Limits(((guard.runtime.accounts, ctx), *around))


async def _take(accounts: Accounts, ctx: RequestContext, charges: Any) -> Charged:
    try:
        result = await accounts.take(ctx, charges)
    except Exception as error:  # noqa: BLE001 - the stated failure policy: what was not counted does not pass
        accounts.on_fault(error)
        return Charged(not accounts.enforced, _ASK_AGAIN_SECONDS, None)
    return _charged(result, enforced=accounts.enforced)


async def _give_back(accounts: Accounts, ctx: RequestContext, tokens: int | None, points: int | None) -> None:
    try:
        await accounts.give_back(ctx, tokens=tokens, points=points)
    except Exception as error:  # noqa: BLE001 - what could not be given back stays paid
        accounts.on_fault(error)


def _charged(result: AdmitResult, *, enforced: bool) -> Charged:
    # While everything is admitted without the store, nothing is known of any bucket.
    tightest = min(result.buckets, key=lambda bucket: bucket.share, default=None)
    remaining = None if tightest is None else int(tightest.remaining)
    if result.admitted:
        return Charged(admitted=True, retry_after_seconds=0.0, remaining=remaining)
    waits = [bucket.retry_after_seconds for bucket in result.buckets]
    if result.sanction is not None:
        waits = [result.sanction.expires_in_seconds]
    return Charged(not enforced, max(waits, default=_ASK_AGAIN_SECONDS), remaining)


def _tighter(one: Charged, other: Charged) -> Charged:
    left = [each.remaining for each in (one, other) if each.remaining is not None]
    return Charged(
        one.admitted and other.admitted,
        max(one.retry_after_seconds, other.retry_after_seconds),
        min(left, default=None),
    )


def _state(bucket: Bucket) -> BucketState:
    charge, left = bucket.charge, max(0, math.floor(bucket.remaining))
    return BucketState(
        policy=charge.policy,
        limit=charge.limit.tokens,
        window_seconds=charge.limit.window_seconds,
        remaining=left,
        reset_seconds=bucket.reset_seconds,
        short=left < charge.tokens,
    )


def _refuse_negative(*numbers: int) -> None:
    if min(numbers) < 0:
        raise ValueError("tokens and points are whole numbers from 0 on: refund() gives back")
