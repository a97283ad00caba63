"""FraiseQL's connection pool with a clock: its connections time what they execute, and bound it in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import TransactionStatus

from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.fraiseql.limits import Limit, can_be_told, set_limit, tell

_coming: Final[ContextVar[Checkout | None]] = ContextVar("fraiseql_guard_checkout", default=None)
"""Who is about to get a connection, while the pool still checks it."""


class TimedPool:
    """A psycopg pool as FraiseQL's repository uses it; whatever else it is asked for is the pool's own."""

    def __init__(self, pool: Any, signals: DatabaseSignals, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._signals = signals
        self._clock = clock

    def connection(self, timeout: float | None = None) -> Checkout:
        """A connection of the pool, for ``async with``."""
        return Checkout(self._pool.connection(timeout), self._signals, self._clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class Checkout:
    """One connection for as long as it is out of the pool. Its cursors are timed for that long and no longer: the pool
    has other users."""

    __slots__ = ("_bounded", "_clock", "_factory", "_lending", "limit", "signals")

    def __init__(self, lending: Any, signals: DatabaseSignals, clock: Callable[[], float]) -> None:
        self._lending = lending
        self._clock = clock
        self._factory: Factory | None = None
        self._bounded: AsyncConnection[Any] | None = None  # of the pool's tries, the one that ``limit`` is about
        self.signals = signals
        self.limit = Limit()

    async def __aenter__(self) -> AsyncConnection[Any]:
        coming = _coming.set(self)
        try:
            connection: AsyncConnection[Any] = await self._lending.__aenter__()
        finally:
            _coming.reset(coming)
        if self._bounded is not connection:
            self.limit.seconds = None
        factory: Any = connection.cursor_factory
        if not isinstance(factory, Factory):
            factory = Factory(factory)
            connection.cursor_factory = factory  # it is only ever called
        factory.checkout, self._factory = self, factory
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if self._factory is not None:
            self._factory.checkout = None
        return await self._lending.__aexit__(kind, error, trace)

    def due(self, connection: AsyncConnection[Any], query: Any) -> float | None:
        """The limit in seconds that PostgreSQL has to be told before ``query``; None if it need not."""
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE and connection.autocommit:
            return None
        return self.limit.due(status, query, self._clock())

    async def bound(self, connection: AsyncConnection[Any], seconds: float, plainly: Callable[..., Any]) -> None:
        """Tell it. ``plainly`` executes on the cursor, where a message of our own would be out of place."""
        status = connection.pgconn.transaction_status
        if can_be_told(connection, status):
            await tell(connection, status, seconds)
        else:
            await plainly(set_limit(seconds), prepare=False)
        self.limit.seconds, self._bounded = seconds, connection


class Factory:
    """Makes a connection's cursors: timed ones while a checkout has it, else as before.

    It stays with the connection: the pool checks it before the next checkout gets it, and that check's statement begins
    the transaction, so that it brings the limit along.
    """

    __slots__ = ("_plain", "checkout")

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.checkout: Checkout | None = None

    def __call__(self, connection: AsyncConnection[Any], *, row_factory: Any = None) -> AsyncCursor[Any]:
        checkout, kind = self.checkout, _timed
        if checkout is None:
            checkout, kind = _coming.get(), _bounded
        if checkout is None:
            return self._plain(connection, row_factory=row_factory)  # type: ignore[no-any-return]
        cursor = kind(self._plain)(connection, row_factory=row_factory)
        cursor.checkout = checkout
        return cursor  # type: ignore[no-any-return]


class _Bounded:
    """What a cursor does before it executes."""

    checkout: Checkout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout, connection = super().execute, self.checkout, self.connection  # type: ignore[attr-defined, misc]
        if (seconds := checkout.due(connection, query)) is not None:
            await checkout.bound(connection, seconds, plain)
        return await plain(query, params, **how)


class _Timed:
    """The same, timed."""

    checkout: Checkout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        plain, checkout, connection = super().execute, self.checkout, self.connection  # type: ignore[attr-defined, misc]
        if (seconds := checkout.due(connection, query)) is not None:
            await checkout.bound(connection, seconds, plain)
        with checkout.signals.timing(checkout.signals.describe(query)) as timed:
            timed.timeout_seconds = checkout.limit.seconds
            return await plain(query, params, **how)

    async def executemany(self, query: Any, params_seq: Iterable[Any], **how: Any) -> None:
        checkout, connection = self.checkout, self.connection  # type: ignore[attr-defined]
        if (seconds := checkout.due(connection, query)) is not None:
            await checkout.bound(connection, seconds, super().execute)  # type: ignore[misc]
        with checkout.signals.timing(checkout.signals.describe(query)) as timed:
            timed.timeout_seconds = checkout.limit.seconds
            await super().executemany(query, params_seq, **how)  # type: ignore[misc]


@lru_cache(maxsize=16)
def _timed(factory: Any) -> Any:
    """A cursor class that is also timed."""
    return type(f"Timed{factory.__name__}", (_Timed, factory), {})


@lru_cache(maxsize=16)
def _bounded(factory: Any) -> Any:
    """A cursor class that only brings the limit along."""
    return type(f"Bounded{factory.__name__}", (_Bounded, factory), {})
