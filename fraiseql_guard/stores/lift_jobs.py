"""The lifting of all sanctions of one origin: a job that one worker does in the background, and that all can see.

The store keeps it, so that another request for the same joins it, and another worker takes it over when its own ends.
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
    """How far a job is. Moments are seconds ago, so that clocks need not agree."""

    id: str = ""
    actor: str = ""
    worker: str = ""
    state: str = RUNNING
    why: str = ""
    """Why it was stopped."""
    total: int = 0
    """Sanctions that were in force when it began, of any origin."""
    seen: int = 0
    """How many of them were looked at."""
    lifted: int = 0
    started_ago: float = 0.0
    heard_ago: float = 0.0
    """When its worker was heard last."""

    @property
    def silent(self) -> bool:
        """Whether it is at work no longer, without having ended."""
        # A negative age is a clock that went back: such a job may be taken over as well.
        return self.state == RUNNING and not 0 <= self.heard_ago < SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """A job, and whether the store granted what was asked for: the job is the caller's, or it is over."""

    granted: bool
    job: LiftJob | None


class LiftJobStore(Protocol):
    """The jobs, one for each ``origin``. Every method may raise StoreError."""

    async def begin(self, origin: str, job_id: str, *, actor: str, worker: str, total: int) -> JobAnswer:
        """Begin a job, or take over one whose worker is silent. One that a worker does is not granted: the request
        joins it, and it goes over everything once more."""
        ...

    async def advance(self, origin: str, job_id: str, *, seen: int, lifted: int) -> JobAnswer:
        """Note that so many more were looked at, and so many more ended. Not granted if another worker does the job."""
        ...

    async def finish(self, origin: str, job_id: str, *, state: str, why: str = "") -> JobAnswer:
        """End a job. Not granted if a request joined it meanwhile, so that it goes on, or another worker does it."""
        ...

    async def read(self, origin: str) -> LiftJob | None:
        """The last job, up to an hour after its end."""
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
        # A job at work is joined: it goes over everything once more, so that nothing new is missed.
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
        # It was joined meanwhile: it begins anew under the same id.
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
