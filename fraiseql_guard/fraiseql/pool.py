"""FraiseQL's connection pool with a clock: its connections time what they execute, and bound it in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from math import ceil
from types import TracebackType
from typing import Any, Final

from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import TransactionStatus

from fraiseql_guard.core.lru import Memo
from fraiseql_guard.core.request import current, stops_at
from fraiseql_guard.fraiseql.cursors import bounded, timed
from fraiseql_guard.fraiseql.limits import (
    MARGIN_SECONDS,
    STEPS_A_SECOND,
    WORTHWHILE,
    SessionLimit,
    is_setting,
    own_limit,
)
from fraiseql_guard.telemetry.database import DatabaseSignals

_NOTHING: Final = object()
_MOST_LIMITS: Final = 16
"""Different limits of repositories that are kept apart."""
_coming: Final[ContextVar[Checkout | None]] = ContextVar("fraiseql_guard_checkout", default=None)
"""Who is about to get a connection, while the pool still checks it."""


class TimedPool:
    """A psycopg pool as FraiseQL's repository uses it; whatever else it is asked for is the pool's own."""

    def __init__(self, pool: Any, signals: DatabaseSignals, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.plain = pool
        self._checkout = partial(Checkout, pool.connection, signals, clock)
        self.connection: Callable[..., Checkout] = partial(self._checkout, None)
        """``connection(timeout=None)``: a connection of the pool, for ``async with``."""
        self._of_hosts: Memo[float, HostPool] = Memo(partial(HostPool, self, self._checkout), _MOST_LIMITS)

    def of_host(self, limit_seconds: float | None) -> Any:
        """The same pool for a repository of FraiseQL's that sets a limit of its own before its statements."""
        if not limit_seconds:
            return self
        return self._of_hosts[limit_seconds]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class HostPool:
    """A timed pool whose connections never raise a lower limit of PostgreSQL's own to the one that FraiseQL sends."""

    def __init__(self, pool: TimedPool, checkout: Callable[..., Checkout], limit_seconds: float) -> None:
        self._pool = pool
        sent = (f"SET LOCAL statement_timeout = '{int(limit_seconds * 1000)}ms'", limit_seconds)
        self.connection: Callable[..., Checkout] = partial(checkout, sent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class Checkout:
    """One connection for as long as it is out of the pool. Its cursors are timed for that long and no longer: the pool
    has other users."""

    __slots__ = (
        "_factory", "_host", "_lending", "clock", "connection", "limit_seconds", "replaced", "session", "signals",
    )  # fmt: skip

    def __init__(
        self,
        lend: Callable[..., Any],
        signals: DatabaseSignals,
        clock: Callable[[], float],
        host: tuple[str, float] | None,
        timeout: float | None = None,
    ) -> None:
        self._lending = lend(timeout)
        self._host = host
        self.clock = clock
        self._factory: Factory | None = None
        self.signals = signals
        self.connection: Any = None
        """The one that is lent, or that the pool tries at the moment."""
        self.limit_seconds: float | None = None
        """What holds in its transaction, as far as is known; None before anything was told."""
        self.session = SessionLimit()
        self.replaced: object = _NOTHING
        """A statement of FraiseQL's in whose place the limit is told."""

    async def __aenter__(self) -> AsyncConnection[Any]:
        coming = _coming.set(self)
        try:
            connection: AsyncConnection[Any] = await self._lending.__aenter__()
        finally:
            _coming.reset(coming)
        if connection is not self.connection:  # as it came, without a check that was ours to bound
            self.connection, self.limit_seconds = connection, None
        factory: Any = connection.cursor_factory
        if not isinstance(factory, Factory):
            factory = Factory(factory)
            connection.cursor_factory = factory  # it is only ever called
        factory.checkout, self._factory, self.session = self, factory, factory.session
        return connection

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[Any]:
        if self._factory is not None:
            self._factory.checkout = None
        ending: Awaitable[Any] = self._lending.__aexit__(kind, error, trace)
        return ending

    def due(self, query: Any) -> float | None:
        """The limit in seconds that PostgreSQL has to be told before ``query``: never 0, which would be none at all.

        None if the one in force will do, or none can be set.
        """
        connection = self.connection
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            self.limit_seconds = None  # SET LOCAL ended with its transaction
            if connection.autocommit:
                return None
        elif status != TransactionStatus.INTRANS:
            return None
        if isinstance(query, str) and is_setting(query):
            if self._host is not None and query == self._host[0]:
                self.replaced = query
                return self._host[1]
            own = own_limit(query)
            self.limit_seconds = self.limit_seconds if own is None else own
            return None
        ctx = current()
        ends_at = None if ctx is None else ctx.ends_at if ctx.outer is None else stops_at(ctx)
        if ends_at is None:
            return None
        now = self.clock()
        remaining = max(0.0, ends_at - now)
        limit = ceil((remaining + MARGIN_SECONDS) * STEPS_A_SECOND) / STEPS_A_SECOND
        in_force, session = self.limit_seconds, self.session
        if in_force is None and session.seconds <= limit and now < session.known_until:
            self.limit_seconds = session.seconds  # it holds without a word
            return None
        return limit if in_force is None or in_force > limit * WORTHWHILE else None


class Factory:
    """Makes a connection's cursors: timed ones while a checkout has it, else as before.

    It stays with the connection: the pool checks it before the next checkout gets it, and that check's statement begins
    the transaction, so that it brings the limit along.
    """

    __slots__ = ("_bounded", "_plain", "_timed", "checkout", "session")

    def __init__(self, plain: Any) -> None:
        self._plain, self._timed, self._bounded = plain, timed(plain), bounded(plain)
        self.checkout: Checkout | None = None
        self.session = SessionLimit()

    def __call__(self, connection: AsyncConnection[Any], *, row_factory: Any = None) -> AsyncCursor[Any]:
        checkout, kind = self.checkout, self._timed
        if checkout is None:
            checkout, kind = _coming.get(), self._bounded
            if checkout is None:
                return self._plain(connection, row_factory=row_factory)  # type: ignore[no-any-return]
            checkout.connection, checkout.session = connection, self.session
        cursor = kind(connection, row_factory=row_factory)
        cursor.checkout = checkout
        return cursor  # type: ignore[no-any-return]
