"""Cursor classes that tell PostgreSQL its limit before they execute, and time what they do.

Once a request, in cold code, what costs is the number of functions on the way (measured: 2.5 microseconds each). So an
ordinary statement takes three here: this one, what decides on its limit, and what is told of its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from fraiseql_guard.core.request import current
from fraiseql_guard.fraiseql.limits import tell
from fraiseql_guard.telemetry.database.signals import show_outside, was_stopped

if TYPE_CHECKING:
    from fraiseql_guard.fraiseql.pool import Checkout


class _Bounded:
    """What a cursor does before it executes."""

    checkout: Checkout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout = super().execute, self.checkout  # type: ignore[misc]
        if (seconds := checkout.due(query)) is not None:
            checkout.limit_seconds = await tell(checkout, seconds, plain)
            if query is checkout.replaced:
                return self
        return await plain(query, params, **how)


class _Timed:
    """The same, timed."""

    checkout: Checkout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout, ctx = super().execute, self.checkout, current()  # type: ignore[misc]
        if (seconds := checkout.due(query)) is not None:
            checkout.limit_seconds = await tell(checkout, seconds, plain)
            if query is checkout.replaced:
                return self
        signals = checkout.signals
        clock, statement = signals.clock, partial(signals.describe, query)
        if ctx is not None:
            ctx.statement = statement
            if ctx.outer is not None:
                show_outside(ctx, statement)
        began_at = clock()
        try:
            done = await plain(query, params, **how)
        except BaseException as error:
            took, limit = clock() - began_at, checkout.limit_seconds
            stopped = was_stopped(error, took, limit)
            signals.statement_ended(ctx, statement, took, timed_out=stopped, timeout_seconds=limit)
            raise
        signals.statement_ended(ctx, statement, clock() - began_at)
        return done

    async def executemany(self, query: Any, params_seq: Iterable[Any], **how: Any) -> None:
        checkout = self.checkout
        if (seconds := checkout.due(query)) is not None:
            checkout.limit_seconds = await tell(checkout, seconds, super().execute)  # type: ignore[misc]
        with checkout.signals.timed_query(query) as timed:
            timed.timeout_seconds = checkout.limit_seconds
            await super().executemany(query, params_seq, **how)  # type: ignore[misc]


@lru_cache(maxsize=16)
def timed(cursor: Any) -> Any:
    """A cursor class that is also timed."""
    return type(f"Timed{cursor.__name__}", (_Timed, cursor), {})


@lru_cache(maxsize=16)
def bounded(cursor: Any) -> Any:
    """A cursor class that only brings the limit along."""
    return type(f"Bounded{cursor.__name__}", (_Bounded, cursor), {})
