"""One thread for work that would block the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Result = TypeVar("Result")


class BackgroundThread:
    """A thread that does one piece of work at a time, in order. It starts with the first piece; a forked child starts a
    thread of its own.

    The event loop's own pool of threads would not do: the app may have filled it.
    """

    __slots__ = ("_name", "_pid", "_pool")

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Call ``work`` in the thread, and return its result. RuntimeError once the interpreter is about to end."""
        return await asyncio.get_running_loop().run_in_executor(self._threads(), partial(work, *arguments))

    def submit(self, work: Callable[[], Any]) -> None:
        """Have ``work`` called some time later; its result is dropped. RuntimeError as for :meth:`run`."""
        self._threads().submit(work)

    def _threads(self) -> ThreadPoolExecutor:
        # Threads do not survive a fork; the child would wait for them for ever.
        if self._pool is None or self._pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor  # with the first work of a process

            self._pid = os.getpid()
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        return self._pool
