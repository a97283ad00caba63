"""Something that is to be closed with its event loop, where no lifespan says so: in tests above all."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable


class LoopEnd:
    """Has ``close`` awaited when the running event loop ends as ``asyncio.run`` ends it, unless it was closed before.

    Such an end closes all asynchronous generators that have begun in the loop, and so the one here.
    """

    __slots__ = ("_generator",)

    def __init__(self, close: Callable[[], Awaitable[object]]) -> None:
        self._generator = _closing(close)
        # The generator begins, and is known to the loop from now on. It waits for nothing before its first yield.
        try:
            self._generator.asend(None).send(None)
        except StopIteration:
            return

    async def aclose(self) -> None:
        """Close it now. A second call does nothing."""
        await self._generator.aclose()


async def _closing(close: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
