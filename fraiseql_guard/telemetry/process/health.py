"""GET /health/detailed: memory, database pool and Redis in one report, made once a second at most."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.stores.protocol import Store
from fraiseql_guard.telemetry.process.fact_sources import POOL, Facts, FactSources
from fraiseql_guard.telemetry.process.memory import Memory

_KEPT_SECONDS: Final = 1.0
_POOL_FULL: Final = 0.9
"""A pool counts as full if more than this part of its connections is in use: the threshold of the alert."""


def _none() -> int:
    return 0


class State(StrEnum):
    """The health of the process. Only ``critical`` is answered 503, so that a load balancer sends requests
    elsewhere."""

    OK = "ok"
    DEGRADED = "degraded"
    CRITICAL = "critical"


_ORDER: Final = tuple(State)
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class Report:
    """The answer: an HTTP status, and its JSON content."""

    http_status: int
    content: Mapping[str, Any]


class Health:
    """Makes reports of the process's health. Requests that come at once share one report.

    ``memory`` measures now. ``refused_for_pool`` returns how many operations were refused within a minute for want of
    database connections. ``clock`` counts seconds.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        providers: FactSources,
        *,
        memory: Callable[[], Memory | None],
        on_problem: Callable[[str], None],
        refused_for_pool: Callable[[], int] = _none,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refused_for_pool = refused_for_pool
        self._settings = settings
        self._store = store
        self._providers = providers
        self._memory = memory
        self._on_problem = on_problem
        self._clock = clock
        self._report: Report | None = None
        self._made_at = -math.inf
        self._making = LoopTask(self._make)

    async def report(self) -> Report:
        """The health of the process, at most a second old. Never raises."""
        # Several balancers may probe every second: a report that is fresh enough answers all of them.
        if self._report is not None and self._clock() - self._made_at < _KEPT_SECONDS:
            return self._report
        # Shielded: a client that leaves must not cancel the report of the others.
        return await asyncio.shield(self._making.ensure_running())

    async def _make(self) -> Report:
        findings: list[tuple[State, str]] = []
        memory = self._look_at_memory(findings)
        pool = self._look_at_pool(findings)
        redis = await self._look_at_redis(findings)
        # The worst finding is the state of the process.
        state = max((state for state, _ in findings), key=_ORDER.index, default=State.OK)
        content = {
            "status": state.value,
            "memory": memory,
            "database": None if pool is None else {"pool": pool},
            "cache": {"redis": redis},
            "findings": [sentence for _, sentence in findings],
        }
        # Only critical is 503: a load balancer would take all workers out for what is merely degraded.
        self._report = Report(503 if state is State.CRITICAL else 200, content)
        self._made_at = self._clock()
        return self._report

    def _look_at_memory(self, findings: list[tuple[State, str]]) -> Mapping[str, float] | None:
        memory = self._memory()
        if memory is None:
            return None
        percent = round(memory.percent, 1)
        if memory.percent >= self._settings.memory_critical_percent:
            findings.append((State.CRITICAL, f"{percent} percent of the memory is used"))
        elif memory.percent >= self._settings.memory_high_percent:
            findings.append((State.DEGRADED, f"{percent} percent of the memory is used"))
        return {"used_bytes": memory.used_bytes, "limit_bytes": memory.limit_bytes, "usage_percent": percent}

    def _look_at_pool(self, findings: list[tuple[State, str]]) -> Facts | None:
        pool = self._providers.ask(POOL, self._on_problem)
        if pool is not None and pool.get("waiting", 0) > 0:
            findings.append((State.DEGRADED, "requests wait for a database connection"))
        if pool is not None and pool.get("active", 0) > _POOL_FULL * (total := pool.get("total", 0)) > 0:
            findings.append((State.DEGRADED, f"{pool['active']:g} of {total:g} database connections are in use"))
        if refused := self._refused_for_pool():
            sentence = f"{refused} operations were refused within a minute: the database connections are used up"
            findings.append((State.DEGRADED, sentence))
        return pool

    async def _look_at_redis(self, findings: list[tuple[State, str]]) -> Mapping[str, bool] | None:
        """Ask Redis itself, whether the breaker is open or not, so that a recovery shows at once. None without a
        Redis."""
        store = self._store
        if self._settings.redis_url is None:
            return None
        answers = await _answers(store)
        # A breaker may be open although Redis answers again: until its probe closes it, requests go without.
        if store.breaker_open or not answers:
            # Under the policy closed every request is refused: other processes may still reach Redis.
            closed = self._settings.on_store_failure == "closed"
            decides = "requests are refused" if closed else "the failure policy decides"
            findings.append((State.CRITICAL if closed else State.DEGRADED, f"Redis does not answer: {decides}"))
        return {"answers": answers, "breaker_open": store.breaker_open}


async def _answers(store: Store) -> bool:
    try:
        await store.ping()
    except Exception:  # noqa: BLE001 - whatever the reason is, Redis does not answer
        return False
    return True
