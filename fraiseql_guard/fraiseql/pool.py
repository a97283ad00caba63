"""Wraps FraiseQL's connection pool: its connections time their statements and bound them in PostgreSQL."""

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
"""Most pools that are remembered, by the limit of their repository."""
_checking_out: Final[ContextVar[Checkout | None]] = ContextVar("fraiseql_guard_checkout", default=None)
"""The checkout that is about to get a connection which the pool still checks; None at other times."""


class TimedPool:
    """A psycopg pool whose ``connection()`` gives out timed connections. All other attributes are the wrapped
    pool's."""

    def __init__(self, pool: Any, signals: DatabaseSignals, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.plain = pool
        self._checkout = partial(Checkout, pool.connection, signals, clock)
        self.connection: Callable[..., Checkout] = partial(self._checkout, None)
        """``connection(timeout=None)``: a connection of the pool, for ``async with``."""
        self._of_hosts: Memo[float, HostPool] = Memo(partial(HostPool, self, self._checkout), _MOST_LIMITS)

    def of_host(self, limit_seconds: float | None) -> Any:
        """The pool for a FraiseQL repository that sends a limit of its own (in seconds) before its statements; this
        pool itself if it sends none (None or 0)."""
        if not limit_seconds:
            return self
        return self._of_hosts[limit_seconds]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class HostPool:
    """A timed pool whose connections replace the limit that FraiseQL sends, so that FraiseQL's limit never raises a
    lower one of PostgreSQL's own."""

    def __init__(self, pool: TimedPool, checkout: Callable[..., Checkout], limit_seconds: float) -> None:
        self._pool = pool
        sent = (f"SET LOCAL statement_timeout = '{int(limit_seconds * 1000)}ms'", limit_seconds)
        self.connection: Callable[..., Checkout] = partial(checkout, sent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class Checkout:
    """One connection for as long as it is out of the pool, as an async context manager. Its cursors are timed only for
    that long, because the pool has other users."""

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
        self._factory: CursorFactory | None = None
        self.signals = signals
        self.connection: Any = None
        """The connection that is lent, or that the pool checks at the moment."""
        self.limit_seconds: float | None = None
        """The limit in force in the connection's transaction, in seconds; None before a limit was sent."""
        self.session = SessionLimit()
        self.replaced: object = _NOTHING
        """FraiseQL's statement that the limit is sent in place of."""

    async def __aenter__(self) -> AsyncConnection[Any]:
        token = _checking_out.set(self)
        try:
            connection: AsyncConnection[Any] = await self._lending.__aenter__()
        finally:
            _checking_out.reset(token)
        # If the pool has checked the connection, the check's statement has set the limit already (CursorFactory).
        if connection is not self.connection:
            self.connection, self.limit_seconds = connection, None
        factory: Any = connection.cursor_factory
        if not isinstance(factory, CursorFactory):
            factory = CursorFactory(factory)
            connection.cursor_factory = factory  # psycopg only ever calls it
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
        """The limit in seconds that has to be set before ``query``: never 0, which would be no limit.

        None if the limit in force is good enough, or none can be set.
        """
        # SET LOCAL needs a transaction, and ends with it.
        connection = self.connection
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            self.limit_seconds = None
            if connection.autocommit:
                return None
        elif status != TransactionStatus.INTRANS:
            return None
        if isinstance(query, str) and is_setting(query):
            return self._due_before_setting(query)

        # The time that the request has left, rounded up.
        ctx = current()
        if ctx is None:
            return None
        ends_at = ctx.ends_at if ctx.outer is None else stops_at(ctx)
        if ends_at is None:
            return None
        now = self.clock()
        remaining = max(0.0, ends_at - now)
        limit = ceil((remaining + MARGIN_SECONDS) * STEPS_A_SECOND) / STEPS_A_SECOND

        # A limit in force stays if it is not much longer; the session's own limit stays if it is shorter.
        in_force, session = self.limit_seconds, self.session
        if in_force is not None:
            return limit if in_force > limit * WORTHWHILE else None
        if session.seconds <= limit and now < session.known_until:
            self.limit_seconds = session.seconds
            return None
        return limit

    def _due_before_setting(self, query: str) -> float | None:
        """The limit in seconds to set in place of the SET that FraiseQL sends; None for a SET of the app's own."""
        if self._host is not None and query == self._host[0]:
            self.replaced = query
            return self._host[1]
        own = own_limit(query)
        if own is not None:
            self.limit_seconds = own
        return None


class CursorFactory:
    """Makes a connection's cursors: timed ones while a checkout has the connection, else plain ones.

    It stays with the connection. The pool checks a connection before the next checkout gets it. The check's statement
    begins the transaction, and therefore sets the limit as well.
    """

    __slots__ = ("_bounded", "_plain", "_timed", "checkout", "session")

    def __init__(self, plain: Any) -> None:
        self._plain, self._timed, self._bounded = plain, timed(plain), bounded(plain)
        self.checkout: Checkout | None = None
        self.session = SessionLimit()

    def __call__(self, connection: AsyncConnection[Any], *, row_factory: Any = None) -> AsyncCursor[Any]:
        checkout, kind = self.checkout, self._timed
        if checkout is None:
            checkout, kind = _checking_out.get(), self._bounded
            if checkout is None:
                return self._plain(connection, row_factory=row_factory)  # type: ignore[no-any-return]
            checkout.connection, checkout.session = connection, self.session
        cursor = kind(connection, row_factory=row_factory)
        cursor.checkout = checkout
        return cursor  # type: ignore[no-any-return]
