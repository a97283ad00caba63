"""Lifts all sanctions of an origin: in batches, in the background, by one worker of the fleet at a time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from secrets import token_hex
from typing import Final

from fraiseql_guard.core import signals
from fraiseql_guard.core.amounts import amount
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.operations.operator.deps import OperatorDeps, store_answering
from fraiseql_guard.operations.operator.interface import Done, Lifting, NotAppliedError, NotFoundError, Origin
from fraiseql_guard.stores.lift_jobs import DONE, RUNNING, STOPPED, LiftJob
from fraiseql_guard.stores.overrides import OverrideKind
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.sanction_pages import BATCH
from fraiseql_guard.stores.sanctions import Sanctioned

_ATTEMPTS: Final = 8
"""Failures of the store after which the job stops. The same command again continues it."""
RETRY_SECONDS: Final = 0.5
"""Pause between two attempts at a store that does not answer."""
_REPORT_SECONDS: Final = 0.25
"""Seconds between two reports of the job's progress to the store."""
_LOOK_SECONDS: Final = 0.2
_SHARE: Final = 0.5
"""Pause after a batch, as a part of the time that the batch took, so that requests are served meanwhile."""


class LiftAll:
    """The operator's methods that lift everything."""

    def __init__(self, deps: OperatorDeps, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._deps = deps
        self._retry_seconds = retry_seconds
        self._tasks: set[asyncio.Task[LiftJob]] = set()

    async def lift_all(
        self, *, origin: Origin | None = Origin.AUTOMATIC, actor: str = "", wait_seconds: float | None = None
    ) -> Done:
        """Operator.lift_all."""
        loop, whose = asyncio.get_running_loop(), _name(origin)
        until = None if wait_seconds is None else loop.time() + wait_seconds
        job = await self._begin(origin, actor)
        # Wait for its end, whichever worker does it.
        while job is None or job.state == RUNNING:
            if until is not None and loop.time() >= until:
                return _going_on(whose, job)
            await asyncio.sleep(_LOOK_SECONDS)
            with store_answering():
                job = await self._deps.store.lift_jobs.read(whose)
            # Its worker has ended: continue it here.
            if job is None or job.silent:
                job = await self._begin(origin, actor)
        if job.state != DONE:
            raise NotAppliedError(_sentence(whose, job))
        return Done(message=_sentence(whose, job), changed=job.lifted > 0, affected=job.lifted)

    async def lifting(self, *, origin: Origin | None = Origin.AUTOMATIC) -> Lifting:
        """Operator.lifting."""
        whose = _name(origin)
        with store_answering():
            job = await self._deps.store.lift_jobs.read(whose)
        if job is None:
            raise NotFoundError(f"sanctions of {whose} origin were not lifted together in the last hour")
        return Lifting(
            origin=whose,
            state=STOPPED if job.silent else job.state,
            lifted=job.lifted,
            seen=min(job.seen, job.total),
            total=job.total,
            started_at=self._deps.clock() - job.started_ago,
            message=_sentence(whose, job),
            actor=job.actor,
            worker=job.worker,
        )

    async def _begin(self, origin: Origin | None, actor: str) -> LiftJob | None:
        """Begin the job, or join the one that runs. A small one is done when this returns."""
        store, whose, job_id = self._deps.store, _name(origin), token_hex(8)
        with store_answering():
            # The store lets one worker do it, and tells the others how far it is.
            total = await store.sanctions.count()
            worker = f"{socket.gethostname()[:64]}/{os.getpid()}"
            begun = await store.lift_jobs.begin(whose, job_id, actor=actor, worker=worker, total=total)
        if not begun.granted:
            await self._record(whose, actor, begun.job, "joined")
            return begun.job
        task = asyncio.get_running_loop().create_task(self._work(origin, job_id, actor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        if done:
            return task.result()
        await self._record(whose, actor, begun.job, RUNNING)  # its end is audited as well, if this process still lives
        return begun.job

    async def _work(self, origin: Origin | None, job_id: str, actor: str) -> LiftJob:
        """Lift until nothing is left that was there when the command was last given. Never raises StoreError."""
        store, whose, failures = self._deps.store, _name(origin), 0
        while True:
            try:
                if not await self._pass(origin, job_id):
                    return LiftJob(id="")  # another worker does it; this one was silent for too long
                ended = await store.lift_jobs.finish(whose, job_id, state=DONE)
            except StoreError as error:
                failures += 1
                if failures >= _ATTEMPTS:
                    return await self._stop(whose, job_id, actor, f"the store does not answer ({error.reason})")
                await asyncio.sleep(self._retry_seconds)
                continue
            if ended.granted and ended.job is not None:
                await self._record(whose, actor, ended.job, DONE)
                return ended.job
            if ended.job is None or ended.job.id != job_id:
                return LiftJob(id="")
            # Not granted: the command was given again meanwhile, so that there is another pass.

    async def _pass(self, origin: Origin | None, job_id: str) -> bool:
        """Go over all sanctions once, and report how far it is. False if another worker has taken the job over."""
        store, loop, whose = self._deps.store, asyncio.get_running_loop(), _name(origin)
        seen = lifted = 0
        reported_at = loop.time()
        async for batch in self._steps(origin):
            seen += batch[0]
            lifted += batch[1]
            if loop.time() - reported_at >= _REPORT_SECONDS:
                if not (await store.lift_jobs.advance(whose, job_id, seen=seen, lifted=lifted)).granted:
                    return False
                seen = lifted = 0
                reported_at = loop.time()
        return (await store.lift_jobs.advance(whose, job_id, seen=seen, lifted=lifted)).granted

    async def _steps(self, origin: Origin | None) -> AsyncIterator[tuple[int, int]]:
        """Lift batch by batch. Yields after each how many sanctions were looked at, and how many ended."""
        store, loop = self._deps.store, asyncio.get_running_loop()
        async for batch in store.sanctions.batches():
            # Not all of a batch have this origin.
            due: Sequence[Sanctioned] = [each for each in batch if origin in (None, _origin(each[1]))]
            yield len(batch) - len(due), 0
            for start in range(0, len(due), BATCH):
                began, some = loop.time(), due[start : start + BATCH]
                yield len(some), await store.sanctions.lift_many(some)
                await asyncio.sleep(_SHARE * (loop.time() - began))
        # Operators' blocks of networks are entries of the control set.
        if origin is not Origin.AUTOMATIC:
            control = await store.overrides.read(-1)
            for entry in control.of(OverrideKind.BLOCK) if control is not None else ():
                yield 0, int(await store.overrides.delete(entry.kind, entry.key))

    async def _stop(self, whose: str, job_id: str, actor: str, why: str) -> LiftJob:
        stopped = LiftJob(id=job_id, actor=actor, state=STOPPED, why=why)
        try:
            ended = await self._deps.store.lift_jobs.finish(whose, job_id, state=STOPPED, why=why)
        except StoreError:
            ended = None  # a job that reports nothing more counts as stopped after a while
        job = ended.job if ended is not None and ended.job is not None else stopped
        await self._record(whose, actor, job, STOPPED)
        return job

    async def _record(self, whose: str, actor: str, job: LiftJob | None, state: str) -> None:
        lifted = 0 if job is None else job.lifted
        await self._deps.record(signals.ADMIN_LIFT_ALL, actor, {"origin": whose, "lifted": lifted, "state": state})


def _name(origin: Origin | None) -> str:
    return origin.value if origin else "any"


def _origin(policy: PolicyName) -> Origin:
    return Origin.OPERATOR if policy is PolicyName.OPERATOR else Origin.AUTOMATIC


def _going_on(whose: str, job: LiftJob | None) -> Done:
    lifted = 0 if job is None else job.lifted
    message = "It has begun." if job is None else _sentence(whose, job)
    return Done(message=message, changed=True, affected=lifted, details={"running": True, "origin": whose})


def _sentence(whose: str, job: LiftJob) -> str:
    """The progress of a job, as a sentence for people."""
    ended = f"{amount(job.lifted, 'sanction')} of {whose} origin ended"
    if job.state == DONE:
        return f"{ended}."
    if job.state == RUNNING and not job.silent:
        return f"{ended} so far; {min(job.seen, job.total):,} of {job.total:,} are looked at, and it goes on."
    why = job.why or f"{job.worker or 'its worker'} has ended or is not heard any more"
    return f"{ended}, then it stopped: {why}. The same again goes on."
