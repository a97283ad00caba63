"""Jobs that lift all sanctions of one origin: one worker does a job in the background, and all workers can see it.

The store keeps the jobs, so that a second request for the same origin joins the job, and another worker takes it over
when its worker ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

SILENT_SECONDS: Final = 10.0
"""A job whose worker was silent for so long can be taken over."""
KEPT_SECONDS: Final = 3_600.0
"""How long a job is kept after its end."""

RUNNING: Final = "running"
DONE: Final = "done"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftJob:
    """The progress of a job. Moments are given as seconds ago, so that clocks need not agree."""

    id: str = ""
    actor: str = ""
    worker: str = ""
    state: str = RUNNING
    why: str = ""
    """Why the job was stopped; "" unless it was."""
    total: int = 0
    """Sanctions of any origin that were in force when the job began."""
    seen: int = 0
    """How many of these sanctions were looked at."""
    lifted: int = 0
    started_ago: float = 0.0
    heard_ago: float = 0.0
    """Seconds since the job's worker was last heard."""

    @property
    def silent(self) -> bool:
        """Whether the job runs but its worker was not heard for SILENT_SECONDS."""
        # A negative age is a clock that went back: such a job may be taken over as well.
        return self.state == RUNNING and not 0 <= self.heard_ago < SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """The answer of a LiftJobStore: whether it ``granted`` the step that was asked for, and the job as it is now (None
    without one)."""

    granted: bool
    job: LiftJob | None


class LiftJobStore(Protocol):
    """The jobs, one for each ``origin``. Every method may raise StoreError."""

    async def begin(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> JobAnswer:
        """Begin a job, or take over a job whose worker is silent. Not granted while a worker does the job: then this
        request joins it, and the job goes over all sanctions once more."""
        ...

    async def advance(self, origin: str, job_id: str, *, seen: int, lifted: int) -> JobAnswer:
        """Add to the numbers of sanctions looked at and lifted. Not granted if another worker does the job."""
        ...

    async def finish(self, origin: str, job_id: str, *, state: str, why: str = "") -> JobAnswer:
        """End a job as ``state`` (DONE or STOPPED). Not granted if a request joined it meanwhile, so that it goes on,
        or if another worker does it."""
        ...

    async def read(self, origin: str) -> LiftJob | None:
        """The last job of an origin, up to an hour after its end; None without one."""
        ...


@dataclass(slots=True)
class _HeldJob:
    job: LiftJob
    started_at: float
    heard_at: float
    again: bool = False


class MemoryLiftJobs:
    """LiftJobStore in the memory of a process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._jobs: dict[str, _HeldJob] = {}

    async def begin(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> JobAnswer:
        """LiftJobStore.begin."""
        now, held = self._clock(), self._jobs.get(origin)
        # A running job is joined: it goes over all sanctions once more, so that no new one is missed.
        running = held is not None and held.job.state == RUNNING
        if held is not None and running and not self._seen_at(held, now).silent:
            held.again = True
            return JobAnswer(False, self._seen_at(held, now))
        # A job that is taken over keeps what it has lifted.
        before = held.job.lifted if held is not None and running else 0
        job = LiftJob(id=job_id, actor=actor, worker=worker, total=total, lifted=before)
        held = self._jobs[origin] = _HeldJob(job, now, now)
        return JobAnswer(True, self._seen_at(held, now))

    async def advance(self, origin: str, job_id: str, *, seen: int, lifted: int) -> JobAnswer:
        """LiftJobStore.advance."""
        now, held = self._clock(), self._jobs.get(origin)
        # Another worker has taken the job over while this one was silent.
        if held is None or held.job.id != job_id:
            return JobAnswer(False, None if held is None else self._seen_at(held, now))
        held.job = replace(held.job, seen=held.job.seen + seen, lifted=held.job.lifted + lifted)
        held.heard_at = now
        return JobAnswer(True, self._seen_at(held, now))

    async def finish(self, origin: str, job_id: str, *, state: str, why: str = "") -> JobAnswer:
        """LiftJobStore.finish."""
        now, held = self._clock(), self._jobs.get(origin)
        if held is None or held.job.id != job_id:
            return JobAnswer(False, None if held is None else self._seen_at(held, now))
        held.heard_at = now
        # A request has joined the job: it begins anew under the same id.
        if state == DONE and held.again:
            held.again, held.job = False, replace(held.job, seen=0)
            return JobAnswer(False, self._seen_at(held, now))
        held.job = replace(held.job, state=state, why=why)
        return JobAnswer(True, self._seen_at(held, now))

    async def read(self, origin: str) -> LiftJob | None:
        """LiftJobStore.read."""
        now, held = self._clock(), self._jobs.get(origin)
        return None if held is None or now - held.heard_at > KEPT_SECONDS else self._seen_at(held, now)

    @staticmethod
    def _seen_at(held: _HeldJob, now: float) -> LiftJob:
        return replace(held.job, started_ago=now - held.started_at, heard_ago=now - held.heard_at)
