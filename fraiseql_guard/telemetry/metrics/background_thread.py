"""One thread beside the event loop, for work that would hold it up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

R = TypeVar("R")


class BackgroundThread:
    """Starts its thread with the first work; a forked child starts its own. One work at a time, in turn.

    It is not the loop's own pool of threads: the app may have filled that one.
    """

    __slots__ = ("_name", "_pid", "_pool")

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[..., R], *facts: Any) -> R:
        """What ``work`` returns. RuntimeError once the interpreter is about to end."""
        return await asyncio.get_running_loop().run_in_executor(self._threads(), partial(work, *facts))

    def submit(self, work: Callable[[], Any]) -> None:
        """Do it some time; what comes of it is not told. RuntimeError as above."""
        self._threads().submit(work)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        return self._pool
