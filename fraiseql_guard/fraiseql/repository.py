"""FraiseQL's repository on a timed pool, which bounds its statements by the time that their request has left."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fraiseql.db import FraiseQLRepository
from fraiseql.fastapi.dependencies import get_db

from fraiseql_guard.core.request import current, stops_at
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.fraiseql.pool import TimedPool
from fraiseql_guard.telemetry.database import DatabaseSignals


class GuardedRepository(FraiseQLRepository):
    """A repository that leaves the limit of its statements to the timed pool.

    FraiseQL itself sends ``query_timeout`` to PostgreSQL before each statement of :meth:`run`, but before no others.
    The pool bounds all statements, and at less cost. So FraiseQL sends its own limit only where it is shorter.
    """

    @property
    def query_timeout(self) -> float | None:
        """FraiseQL's own limit in seconds; None where the request has less time left: then the pool sets the limit."""
        own, ctx = self._own_timeout, current()
        ends_at = None if ctx is None else stops_at(ctx)
        if ends_at is None:
            return own
        return own if own is not None and 0 < own < ends_at - time.monotonic() else None

    @query_timeout.setter
    def query_timeout(self, seconds: float | None) -> None:
        self._own_timeout = seconds


def repository_dependency(
    signals: DatabaseSignals, settings: Callable[[], Settings]
) -> Callable[[], Awaitable[FraiseQLRepository]]:
    """The dependency that replaces FraiseQL's ``get_db``. ``settings`` returns the guard's settings in force.

    FraiseQL reads FRAISEQL_QUERY_TIMEOUT too, at its start. While its limit equals the guard's at the start, it follows
    an operator's override; another limit, which the app gave FraiseQL, stays.
    """
    timed: TimedPool | None = None
    common = settings().query_timeout

    async def guarded_db() -> FraiseQLRepository:
        nonlocal timed
        plain = await get_db()
        pool: Any = plain.get_pool()
        if timed is None or timed.plain is not pool:  # FraiseQL makes a new pool at each start
            timed = TimedPool(pool, signals)
        own, context = plain.query_timeout, plain.context
        if own == common and own != (wanted := settings().query_timeout):
            own, context = wanted, {**context, "query_timeout": wanted}
        return GuardedRepository(timed.of_host(own), context)

    return guarded_db
