"""Wait for what a test means, not for a time in which a machine that does nothing else would have got there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60.0
"""After so long something is taken for never. Only a test that fails waits for it."""


async def until(
    true: Callable[[], object | Awaitable[object]], *, pause_seconds: float = 0.01, seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once ``true()`` is; it may be a coroutine function. AssertionError if it never is."""
    ends_at = time.monotonic() + seconds
    while True:
        found = true()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert time.monotonic() < ends_at, "it never came true"
        await asyncio.sleep(pause_seconds)


def until_now(true: Callable[[], object], *, pause_seconds: float = 0.02, seconds: float = PATIENCE_SECONDS) -> None:
    """``until`` where no event loop runs."""
    ends_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends_at, "it never came true"
        time.sleep(pause_seconds)


async def turns(count: int = 100) -> None:
    """Let the event loop run all that waits for no clock and no other process, however slow the machine is."""
    for _ in range(count):
        await asyncio.sleep(0)
