"""FraiseQL's connection pool with a clock: its connections time what they execute, and bound it in PostgreSQL."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import TransactionStatus

from fraiseql_guard.context import Statement
from fraiseql_guard.database import DatabaseSignals
from fraiseql_guard.request import current, remaining_seconds

_MARGIN_SECONDS: Final = 0.25
"""The guard's own deadline comes first and answers the client; PostgreSQL's is for when the guard cannot."""
_STEPS_A_SECOND: Final = 4
_WORTHWHILE: Final = 1.25
"""A limit that is this much too long is set anew."""
_OWN_LIMIT: Final = re.compile(
    r"\s*set\s++(?:local\s++|session\s++)?statement_timeout\s*+(?:=|to)\s*+'?(\d+)(?:ms)?\b", re.IGNORECASE
)


def limit_seconds(remaining_seconds: float) -> float:
    """What PostgreSQL may take for a request with so much time left: never 0, which would be no limit at all.

    Rounded up to a quarter of a second, so that most requests send the same statement, which is then remembered.
    """
    return math.ceil((remaining_seconds + _MARGIN_SECONDS) * _STEPS_A_SECOND) / _STEPS_A_SECOND


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

    __slots__ = ("_clock", "_connection", "_factory", "_lending", "limit_seconds", "signals")

    def __init__(self, lending: Any, signals: DatabaseSignals, clock: Callable[[], float]) -> None:
        self._lending = lending
        self._clock = clock
        self._connection: AsyncConnection[Any] | None = None
        self._factory: Any = None
        self.signals = signals
        self.limit_seconds: float | None = None  # what PostgreSQL was told in this transaction

    async def __aenter__(self) -> AsyncConnection[Any]:
        connection: AsyncConnection[Any] = await self._lending.__aenter__()
        self._connection, self._factory = connection, connection.cursor_factory
        connection.cursor_factory = self._cursor  # type: ignore[assignment]  # it is only ever called
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if self._connection is not None:
            self._connection.cursor_factory = self._factory
            self._connection = None  # a cursor that outlives us is a cycle no more
        return await self._lending.__aexit__(kind, error, trace)

    def _cursor(self, connection: AsyncConnection[Any], *, row_factory: Any = None) -> AsyncCursor[Any]:
        cursor = _timed(self._factory)(connection, row_factory=row_factory)
        cursor.checkout = self
        return cursor  # type: ignore[no-any-return]

    def new_limit(self, connection: AsyncConnection[Any], query: Any, statement: Statement) -> int | None:
        """The statement_timeout to set first, in milliseconds; None if the one in force will do."""
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            self.limit_seconds = None  # SET LOCAL ended with its transaction
            if connection.autocommit:
                return None
        elif status != TransactionStatus.INTRANS:
            return None
        if statement.query_type == "other":
            self._note_own_limit(query)
            return None
        ctx = current()
        remaining = None if ctx is None else remaining_seconds(ctx, self._clock())
        if remaining is None:
            return None
        limit = limit_seconds(remaining)
        if self.limit_seconds is not None and self.limit_seconds <= limit * _WORTHWHILE:
            return None
        self.limit_seconds = limit
        return int(limit * 1000)

    def _note_own_limit(self, query: Any) -> None:
        """FraiseQL (or the app) sets a limit itself: its will be done, and no second one is sent."""
        found = _OWN_LIMIT.match(query) if isinstance(query, str) else None
        if found is not None:
            self.limit_seconds = int(found[1]) / 1000


class _Timed:
    """What a timed cursor does before and after the cursor that it is besides."""

    checkout: Checkout

    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        statement = await self._prepare(query)
        with self.checkout.signals.timing(statement) as timed:
            timed.timeout_seconds = self.checkout.limit_seconds
            return await super().execute(query, params, **how)  # type: ignore[misc]

    async def executemany(self, query: Any, params_seq: Iterable[Any], **how: Any) -> None:
        statement = await self._prepare(query)
        with self.checkout.signals.timing(statement) as timed:
            timed.timeout_seconds = self.checkout.limit_seconds
            await super().executemany(query, params_seq, **how)  # type: ignore[misc]

    async def _prepare(self, query: Any) -> Statement:
        checkout = self.checkout
        statement = checkout.signals.describe(query)
        limit = checkout.new_limit(self.connection, query, statement)  # type: ignore[attr-defined]
        if limit is not None:
            await super().execute(b"SET LOCAL statement_timeout = %d" % limit, prepare=False)  # type: ignore[misc]
        return statement


@lru_cache(maxsize=16)
def _timed(factory: Any) -> Any:
    """A cursor class that is also timed."""
    return type(f"Timed{factory.__name__}", (_Timed, factory), {})
