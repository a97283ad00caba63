"""Where an app reports its database to the guard: connection pools, and statements with their durations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial, reduce
from operator import add
from typing import Any, Final, Protocol

from fraiseql_guard.core.context import RequestContext, outers
from fraiseql_guard.core.request import current
from fraiseql_guard.core.signals import QUERY_TYPES
from fraiseql_guard.core.statement import Naming, Statement
from fraiseql_guard.telemetry.database.pools import PoolState, ReadPool, reader_of
from fraiseql_guard.telemetry.database.statements import UNKNOWN, Statements

_QUERY_CANCELED: Final = "57014"  # SQLSTATE query_canceled


class DatabaseObserver(Protocol):
    """Receives what happens in the app's database (the recorder)."""

    def pooled(self, *, active: int, idle: int, total: int, waiting: int) -> None:
        """The connections of all pools together, as read now (PoolState)."""
        ...

    def queried(self, ctx: RequestContext | None, statement: Naming, seconds: float) -> None:
        """A statement has ended that the database did not stop. ``ctx``: the request that made it; None outside of
        requests."""
        ...

    def query_stopped(
        self, ctx: RequestContext | None, statement: Naming, seconds: float, timeout_seconds: float | None
    ) -> None:
        """The database stopped a statement at its time limit; ``timeout_seconds`` is None where the limit is not
        known."""
        ...

    def fault(self, part: str, error: BaseException) -> None:
        """One of the other methods raised, or a pool could not be read."""
        ...


class DatabaseSignals:
    """Takes an app's reports of its database: pools, and each statement with its duration.

    Every guard has one (``guard.database``). Where the guard is out of reach, as under ``add_middleware``, make one and
    pass it on: ``Guard(app, database=...)``. Nothing in here raises for what happens in a database, and all of it may
    be called from any thread. ``clock`` counts seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._readers: list[ReadPool] = []
        self._statements = Statements()
        self._observer: DatabaseObserver | None = None
        self._state: PoolState | None = None

    # --- for apps -----------------------------------------------------------------------------------------------------

    def observe_pool(self, pool: Any) -> None:
        """Export how full a pool is; several pools are added up.

        ``pool``: of psycopg_pool or asyncpg, an SQLAlchemy engine, or a callable that returns one of them, a mapping
        with ``active``, ``idle``, ``total`` and ``waiting``, or None while there is none. TypeError for anything else.
        """
        self._readers.append(reader_of(pool))
        self.refresh()

    def record_query(
        self,
        seconds: float,
        *,
        statement: Any = None,
        query_type: str | None = None,
        table_name: str = "",
        timeout_seconds: float | None = None,
        timed_out: bool = False,
    ) -> None:
        """Count one statement that took ``seconds``.

        What it did is read from ``statement`` (SQL text, or psycopg.sql's objects), or given: ``query_type`` is one of
        select, insert, update, delete, call and other. ``timed_out`` says that the database (or its driver) stopped it
        after ``timeout_seconds``. The user is the one whose request this task or thread works on.
        """
        # Described only when it is counted, and from a memory: most statements repeat.
        named = partial(self.describe, statement, query_type, table_name)
        self.statement_ended(current(), named, seconds, timed_out=timed_out, timeout_seconds=timeout_seconds)

    def timed_query(self, statement: Any = None, *, query_type: str | None = None, table_name: str = "") -> Timed:
        """``with database.timed_query("SELECT ..."):`` records its block as one statement, with the time that it
        takes, await included."""
        return Timed(self, partial(self.describe, statement, query_type, table_name))

    def pool(self) -> PoolState | None:
        """The connections of all pools together, read now; None while there is no pool."""
        self.refresh()
        return self._state

    def facts(self) -> Mapping[str, int] | None:
        """:meth:`pool` as a mapping, for the health page and the heartbeat."""
        state = self.pool()
        return None if state is None else asdict(state)

    # --- for the guard and integrations -------------------------------------------------------------------------------

    def size(self) -> int | None:
        """The most connections that the pools together may open, as last read; None without a pool or a bound."""
        # Before the first look, which a pool that is opened late may need.
        if self._state is None and self._readers:
            self.refresh()
        return (self._state.total or None) if self._state is not None else None

    def attach(self, observer: DatabaseObserver) -> None:
        """Send all reports to ``observer`` from now on."""
        self._observer = observer
        self.refresh()

    def describe(self, statement: Any, query_type: str | None = None, table_name: str = "") -> Statement:
        """The type and table of a statement, as labels and lines show them. A ``query_type`` that is given wins over
        the text of ``statement``; an unknown one counts as ``other``."""
        if query_type is not None:
            return Statement(query_type if query_type in QUERY_TYPES else UNKNOWN.query_type, table_name)
        return self._statements.describe(statement) if statement is not None else Statement("other", table_name)

    def statement_ended(
        self,
        ctx: RequestContext | None,
        statement: Naming,
        seconds: float,
        *,
        timed_out: bool = False,
        timeout_seconds: float | None = None,
    ) -> None:
        """Record a statement that has ended. ``timed_out``: the database stopped it at ``timeout_seconds``."""
        observer = self._observer
        if observer is not None:
            try:
                if timed_out:
                    observer.query_stopped(ctx, statement, seconds, timeout_seconds)
                else:
                    observer.queried(ctx, statement, seconds)
            except Exception as error:  # noqa: BLE001 - signals are no reason to fail a statement
                observer.fault("database", error)
        if ctx is None:
            return
        ctx.database_seconds = (ctx.database_seconds or 0.0) + seconds
        # The request no longer waits for this statement. Another one may have begun meanwhile: that one stays.
        if ctx.statement is statement:
            ctx.statement = None
            if ctx.outer is not None:
                show_outside(ctx, None)

    def refresh(self) -> None:
        """Read the pools and report them to the observer. Every worker reads its own: the worker that is scraped cannot
        ask the others."""
        try:
            states = [state for read in self._readers if (state := read()) is not None]
        except Exception as error:  # noqa: BLE001 - a pool of the app's may be in any state
            if self._observer is not None:
                self._observer.fault("pool", error)
            return
        self._state = reduce(add, states) if states else None
        if self._observer is not None and self._state is not None:
            state = self._state
            self._observer.pooled(active=state.active, idle=state.idle, total=state.total, waiting=state.waiting)


def show_outside(ctx: RequestContext, statement: Naming | None) -> None:
    """Set the statement that a request waits for on the contexts of outer guards as well: the deadline of one may come
    first, and its log line names the statement."""
    for outer in outers(ctx):
        outer.statement = statement


class Timed:
    """Times one statement, as a context manager. While it runs, the request's context names it, so that the line about
    a timeout can.

    Set ``timeout_seconds`` to the time limit that the database was given for the statement; None means no known limit.
    """

    __slots__ = ("_began_at", "_ctx", "_signals", "_statement", "timeout_seconds")

    def __init__(self, signals: DatabaseSignals, statement: Naming) -> None:
        self._signals = signals
        self._statement = statement
        self._ctx: RequestContext | None = None
        self._began_at = 0.0
        self.timeout_seconds: float | None = None

    def __enter__(self) -> Timed:
        self._ctx = current()
        if self._ctx is not None:
            self._ctx.statement = self._statement
            show_outside(self._ctx, self._statement)
        # The clock starts last, so that it times the statement alone.
        self._began_at = self._signals.clock()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        seconds = self._signals.clock() - self._began_at
        limit = self.timeout_seconds
        stopped = error is not None and was_stopped(error, seconds, limit)
        self._signals.statement_ended(self._ctx, self._statement, seconds, timed_out=stopped, timeout_seconds=limit)


def was_stopped(error: BaseException, seconds: float, timeout_seconds: float | None) -> bool:
    """Whether an error means that a statement ran into its time limit.

    PostgreSQL reports query_canceled (57014) for a timeout and for pg_cancel_backend alike. Its message tells them
    apart unless it is translated; then the elapsed time decides, where the limit is known.
    """
    if isinstance(error, TimeoutError):
        return True
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps
    if getattr(cause, "sqlstate", None) != _QUERY_CANCELED:
        return False
    return "statement timeout" in str(cause) or (timeout_seconds is not None and seconds >= timeout_seconds)
