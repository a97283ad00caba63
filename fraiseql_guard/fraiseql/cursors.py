"""Cursor classes that set PostgreSQL's time limit before they execute a statement, and time it.

This code runs once a request, so that the processor's caches are cold, and each function call costs 2.5 microseconds
(measured). So an ordinary statement takes three calls: ``execute``, ``Checkout.due`` and ``statement_ended``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, Protocol

from fraiseql_guard.core.request import current
from fraiseql_guard.fraiseql.limits import BoundedConnection, send_limit
from fraiseql_guard.telemetry.database import DatabaseSignals
from fraiseql_guard.telemetry.database.signals import show_outside, was_stopped


class CursorCheckout(BoundedConnection, Protocol):
    """The part of pool.Checkout that a cursor uses: the checkout that has its connection."""

    limit_seconds: float | None
    replaced: object
    signals: DatabaseSignals

    def due(self, query: Any) -> float | None:
        """The limit in seconds that has to be set before ``query``; None if none has to."""
        ...


class _Bounded:
    """Mixed into a cursor class: sets the limit that is due before it executes a statement."""

    checkout: CursorCheckout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout = super().execute, self.checkout  # type: ignore[misc]
        if (seconds := checkout.due(query)) is not None:
            checkout.limit_seconds = await send_limit(checkout, seconds, plain)
            if query is checkout.replaced:
                return self
        return await plain(query, params, **how)


class _Timed:
    """Mixed into a cursor class: as _Bounded, and records each statement with its duration."""

    checkout: CursorCheckout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout, ctx = super().execute, self.checkout, current()  # type: ignore[misc]
        # Set the limit, if one is due; it may replace the statement that sets FraiseQL's own.
        if (seconds := checkout.due(query)) is not None:
            checkout.limit_seconds = await send_limit(checkout, seconds, plain)
            if query is checkout.replaced:
                return self
        # Execute, while the request's context names the statement.
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
            checkout.limit_seconds = await send_limit(checkout, seconds, super().execute)  # type: ignore[misc]
        with checkout.signals.timed_query(query) as timed:
            timed.timeout_seconds = checkout.limit_seconds
            await super().executemany(query, params_seq, **how)  # type: ignore[misc]


@lru_cache(maxsize=16)
def timed(cursor: Any) -> Any:
    """A subclass of a cursor class whose statements are bounded and timed."""
    return type(f"Timed{cursor.__name__}", (_Timed, cursor), {})


@lru_cache(maxsize=16)
def bounded(cursor: Any) -> Any:
    """A subclass of a cursor class whose statements are bounded."""
    return type(f"Bounded{cursor.__name__}", (_Bounded, cursor), {})
