"""FraiseQL's repository on a timed pool, which bounds its statements by the time that is left of their request."""

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
    """FraiseQL sends ``query_timeout`` to PostgreSQL before each statement of :meth:`run`, and before no other.

    The timed pool bounds all of them, at less cost. So FraiseQL's own is left to it only where it is the shorter one.
    """

    @property
    def query_timeout(self) -> float | None:
        """Seconds: FraiseQL's own; None where the request has less time left, which the pool sees to."""
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
    """What FastAPI calls in the place of FraiseQL's ``get_db``. ``settings`` are the guard's, as they are in force.

    FraiseQL reads FRAISEQL_QUERY_TIMEOUT too, once. While it has what the guard began with, it follows an operator's
    override; a limit that the app gives FraiseQL stays.
    """
    timed: TimedPool | None = None
    common = settings().query_timeout

    async def guarded_db() -> FraiseQLRepository:
        nonlocal timed
        plain = await get_db()
        pool: Any = plain.get_pool()
        if timed is None or timed.plain is not pool:  # FraiseQL makes a new one at each start
            timed = TimedPool(pool, signals)
        own, context = plain.query_timeout, plain.context
        if own == common and own != (wanted := settings().query_timeout):
            own, context = wanted, {**context, "query_timeout": wanted}
        return GuardedRepository(timed.of_host(own), context)

    return guarded_db
