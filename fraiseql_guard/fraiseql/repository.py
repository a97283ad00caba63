"""FraiseQL's repository on a timed pool, which bounds its statements by the time that is left of their request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fraiseql.db import FraiseQLRepository
from fraiseql.fastapi.dependencies import get_db

from fraiseql_guard.fraiseql.pool import TimedPool
from fraiseql_guard.request import current, remaining_seconds


class GuardedRepository(FraiseQLRepository):
    """FraiseQL sends ``query_timeout`` to PostgreSQL before each statement of :meth:`run`, and before no other.

    The timed pool bounds all of them, at less cost. So FraiseQL's own is left to it only where it is the shorter one.
    """

    @property
    def query_timeout(self) -> float | None:
        """Seconds: FraiseQL's own; None where the request has less time left, which the pool sees to."""
        own = self._own_timeout
        ctx = current()
        remaining = None if ctx is None else remaining_seconds(ctx, time.monotonic())
        return own if remaining is None or (own is not None and 0 < own < remaining) else None

    @query_timeout.setter
    def query_timeout(self, seconds: float | None) -> None:
        self._own_timeout = seconds


def repository_dependency(timed: Callable[[Any], TimedPool]) -> Callable[[], Awaitable[FraiseQLRepository]]:
    """What FastAPI calls in the place of FraiseQL's ``get_db``."""

    async def guarded_db() -> FraiseQLRepository:
        plain = await get_db()
        pool: Any = timed(plain.get_pool())
        return GuardedRepository(pool, plain.context)

    return guarded_db
