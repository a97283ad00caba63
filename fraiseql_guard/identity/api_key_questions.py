"""Asks the app about API keys that the guard does not know: within bounds of time, and of number for each address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.identity.api_keys import ApiKey
from fraiseql_guard.identity.user_status import NoAnswer

AskApiKey = Callable[[str], Awaitable[ApiKey | None]]
"""Given the SHA-256 of a key in hex digits: what is known of the key, or None."""

ANSWER_SECONDS: Final = 2.0
"""Longest wait for the app's answer."""
UNKNOWN_A_SECOND: Final = 10.0
"""Unknown keys of one address that the app is asked about. Those that it knows cost nothing."""
_MOST_AT_ONCE: Final = 200
_ADDRESSES: Final = 10_000


class ApiKeyQuestions:
    """Asks the app's hook. Requests with one key at the same time ask once.

    ``on_fault`` is told what the hook raised, a time-out too. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self, ask: AskApiKey, *, on_fault: Callable[[BaseException], None], clock: Callable[[], float]
    ) -> None:
        self._ask, self._on_fault, self._clock = ask, on_fault, clock
        self._asked: PerLoop[dict[str, asyncio.Task[ApiKey | NoAnswer | None]]] = PerLoop(lambda _: {})
        self._left: Lru[str, tuple[float, float]] = Lru(_ADDRESSES)

    async def answer(self, digest: str) -> ApiKey | NoAnswer | None:
        """What the app says of the key with this digest; NO_ANSWER if it raises, or takes too long."""
        asked = self._asked.here()
        task = asked.get(digest)
        if task is None:
            if len(asked) >= _MOST_AT_ONCE:
                return NoAnswer.NO_ANSWER
            task = asked[digest] = asyncio.get_running_loop().create_task(self._answered(digest))
            task.add_done_callback(lambda _: asked.pop(digest, None))
        # wait leaves the question running when its client leaves: others may wait for the same answer.
        await asyncio.wait([task])
        return NoAnswer.NO_ANSWER if task.cancelled() else task.result()

    async def _answered(self, digest: str) -> ApiKey | NoAnswer | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._ask(digest)
            if found is not None and not isinstance(found, ApiKey):
                raise TypeError(f"api_keys answers {type(found).__name__}, and not ApiKey or None")
        except Exception as error:  # noqa: BLE001 - the hook is the app's: it may raise anything
            self._on_fault(error)
            return NoAnswer.NO_ANSWER
        return found

    # --- how often an address may ask ---------------------------------------------------------------------------------

    def take(self, address: str) -> bool:
        """Whether another question of this address may be asked; it is taken from those of a second."""
        left = self._now_left(address)
        if left < 1.0:
            return False
        self._left.put(address, (left - 1.0, self._clock()))
        return True

    def give_back(self, address: str) -> None:
        """The app knows the key, or cannot tell: the question was no guess."""
        self._left.put(address, (min(UNKNOWN_A_SECOND, self._now_left(address) + 1.0), self._clock()))

    def _now_left(self, address: str) -> float:
        left, counted_at = self._left.look(address) or (UNKNOWN_A_SECOND, 0.0)
        return min(UNKNOWN_A_SECOND, left + (self._clock() - counted_at) * UNKNOWN_A_SECOND)

    async def aclose(self) -> None:
        """Give up the questions of the running event loop."""
        asked = list((self._asked.pop() or {}).values())
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
