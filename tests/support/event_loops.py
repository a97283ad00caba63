"""Several event loops that run in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def event_loops(count: int) -> Iterator[list[asyncio.AbstractEventLoop]]:
    """Loops that run in turns; at the end what is left in them is ended, as asyncio.run does."""
    loops = [asyncio.new_event_loop() for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.run_until_complete(_end_all())
            loop.close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
