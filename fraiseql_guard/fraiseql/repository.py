"""FraiseQL's repository on a timed pool, with the time that is left of its request as its query timeout."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fraiseql.db import FraiseQLRepository
from fraiseql.fastapi.dependencies import get_db

from fraiseql_guard.fraiseql.pool import TimedPool, limit_seconds
from fraiseql_guard.request import current, remaining_seconds


class GuardedRepository(FraiseQLRepository):
    """FraiseQL sends ``query_timeout`` to PostgreSQL with each statement of :meth:`run`, and with no other."""

    @property
    def query_timeout(self) -> float | None:
        """Seconds: FraiseQL's own, unless the request has less time left."""
        own = self._own_timeout
        ctx = current()
        remaining = None if ctx is None else remaining_seconds(ctx, time.monotonic())
        if remaining is None or (own is not None and 0 < own < remaining):
            return own
        return limit_seconds(remaining)

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
