"""Calls a function of the app with notices, in the background: one at a time, bounded in number and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.core.signals import HookOutcome

N = TypeVar("N")

MOST: Final = 1_000
"""Most notices that wait; further ones are dropped."""
CALL_SECONDS: Final = 5.0
"""Longest time that the function is waited for."""
DRAIN_SECONDS: Final = 2.0
"""Longest time at the end of the process for notices that still wait."""


@dataclass(slots=True)
class _Waiting(Generic[N]):
    notice: N
    count: int


class HookQueue(Generic[N]):
    """The notices for one function. A notice with the key of one that still waits is counted with it, so that a flood
    of one caller takes one place.

    ``told`` makes the function's argument from a notice and the number that it stands for. ``on_outcome`` is given the
    outcome and a number of notices, ``on_fault`` the exceptions of the function. A task in the noting event loop calls
    the function, and ends when no notice waits.
    """

    def __init__(
        self,
        function: Callable[[N], Awaitable[object]],
        *,
        told: Callable[[N, int], N],
        on_outcome: Callable[[HookOutcome, int], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._function = function
        self._told = told
        self._on_outcome = on_outcome
        self._on_fault = on_fault
        self._waiting: dict[Hashable, _Waiting[N]] = {}
        self._lock = Lock()  # event loops may run in several threads
        self._task: LoopTask[None] = LoopTask(self._call_all)

    def note(self, key: Hashable, make: Callable[[], N], count: int = 1) -> None:
        """Have the function called soon. ``make`` makes the notice, unless one with this key waits already."""
        with self._lock:
            same = self._waiting.get(key)
            if same is not None:
                same.count += count
                return
            full = len(self._waiting) >= MOST
            if not full:
                self._waiting[key] = _Waiting(make(), count)
        if full:
            self._on_outcome(HookOutcome.DROPPED, count)
            return
        self._start()

    def _start(self) -> None:
        with suppress(RuntimeError):  # no event loop runs here: the next one that notes something tells of it
            # The function finds nothing of the request in its context that happens to be the first.
            Context().run(self._task.ensure_running)

    async def _call_all(self) -> None:
        while (waiting := self._next()) is not None:
            outcome = HookOutcome.DROPPED  # if the process ends meanwhile
            try:
                outcome = await self._call(self._told(waiting.notice, waiting.count))
            finally:
                self._on_outcome(outcome, waiting.count)
            await asyncio.sleep(0)  # a function that never waits keeps no request from its turn

    def _next(self) -> _Waiting[N] | None:
        with self._lock:
            return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    async def _call(self, notice: N) -> HookOutcome:
        deadline = asyncio.timeout(CALL_SECONDS)
        try:
            async with deadline:
                await self._function(notice)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._on_fault(error)  # something that the function waited for was cancelled
            return HookOutcome.FAILED
        except Exception as error:  # noqa: BLE001 - the function is the app's: it may raise anything
            late = deadline.expired()
            self._on_fault(TimeoutError(f"took longer than {CALL_SECONDS:g} s") if late else error)
            return HookOutcome.TIMED_OUT if late else HookOutcome.FAILED
        return HookOutcome.TOLD

    async def aclose(self) -> None:
        """Call the function with the notices that still wait, for two seconds at most; drop the others."""
        if self._waiting:
            self._start()
        task: asyncio.Task[Any] | None = self._task.here
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=DRAIN_SECONDS)
        await self._task.aclose()
        with self._lock:
            left = sum(each.count for each in self._waiting.values())
            self._waiting.clear()
        if left:
            self._on_outcome(HookOutcome.DROPPED, left)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
