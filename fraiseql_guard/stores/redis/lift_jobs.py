"""Jobs that lift all sanctions of an origin, on Redis: a hash for each origin, one script (lua/lift_job.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fraiseql_guard.stores.lift_jobs import SILENT_SECONDS, STOPPED, JobAnswer, LiftJob
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import LIFTING

_SCRIPT: Final = "lift_job"
_MILLIONTHS: Final = 1_000_000


class RedisLiftJobs:
    """LiftJobStore on Redis. Every method may raise StoreError."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._key = f"{keys.names.common(LIFTING)}:"

    async def begin(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> JobAnswer:
        """LiftJobStore.begin."""
        return await self._ask(origin, ("begin", job_id, actor, worker, round(SILENT_SECONDS), total))

    async def advance(self, origin: str, job_id: str, *, seen: int, lifted: int) -> JobAnswer:
        """LiftJobStore.advance."""
        return await self._ask(origin, ("advance", job_id, seen, lifted))

    async def finish(self, origin: str, job_id: str, *, state: str, why: str = "") -> JobAnswer:
        """LiftJobStore.finish."""
        return await self._ask(origin, ("finish", job_id, state, why))

    async def read(self, origin: str) -> LiftJob | None:
        """LiftJobStore.read."""
        return (await self._ask(origin, ("read",))).job

    async def _ask(self, origin: str, arguments: Sequence[str | int | bytes]) -> JobAnswer:
        granted, now, *fields = await self._keys.run(_SCRIPT, f"{self._key}{origin}", arguments)
        return JobAnswer(granted == 1, _job(int(now), fields))


def _job(now: int, fields: Sequence[bytes]) -> LiftJob | None:
    """The job in the fields of a hash; None if there is none, or other software wrote it."""
    found: dict[str, str] = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in zip(fields[::2], fields[1::2], strict=True)
    }
    if "id" not in found:
        return None

    def number(name: str) -> int:
        text: Any = found.get(name, "")
        # Other software may have written anything; 17 digits fit into 64 bits.
        return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0

    return LiftJob(
        id=found["id"],
        actor=found.get("actor", ""),
        worker=found.get("worker", ""),
        state=found.get("state", STOPPED),
        why=found.get("why", ""),
        total=number("total"),
        seen=number("seen"),
        lifted=number("lifted"),
        started_ago=(now - number("started")) / _MILLIONTHS,
        heard_ago=(now - number("beat")) / _MILLIONTHS,
    )
