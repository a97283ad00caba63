"""Asks the app about API keys that the guard does not know: within bounds of time, and of number for each address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.identity.api_keys import ApiKey

AskApiKey = Callable[[str], Awaitable[ApiKey | None]]
"""Given the SHA-256 of a key in hex digits: what is known of the key, or None."""

ANSWER_SECONDS: Final = 2.0
"""Longest wait for the app's answer."""
UNKNOWN_A_SECOND: Final = 10.0
"""Unknown keys of one address that the app is asked about. Those that it knows cost nothing."""
_MOST_AT_ONCE: Final = 200
_ADDRESSES: Final = 10_000


class Unanswered(Enum):
    """The app has said nothing: the caller has not failed."""

    FAULT = "fault"
    FLOOD = "flood"  # it is not asked, because this address has asked about too many unknown keys


Answer = ApiKey | Unanswered | None


class ApiKeyQuestions:
    """Asks the app's hook. Requests with one key at the same time ask once.

    ``on_fault`` is told what the hook raised, a time-out too. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self, ask: AskApiKey, *, on_fault: Callable[[BaseException], None], clock: Callable[[], float]
    ) -> None:
        self._ask, self._on_fault, self._clock = ask, on_fault, clock
        self._asked: PerLoop[dict[str, asyncio.Task[Answer]]] = PerLoop(lambda _: {})
        self._left: Lru[str, tuple[float, float]] = Lru(_ADDRESSES)

    async def answer(self, digest: str, caller: str) -> Answer:
        """What the app says of the key with this digest; ``caller`` is the address that sends it."""
        asked = self._asked.here()
        task = asked.get(digest)
        if task is None:
            if len(asked) >= _MOST_AT_ONCE:
                return Unanswered.FAULT
            if not self._take(caller):
                return Unanswered.FLOOD
            task = asked[digest] = asyncio.get_running_loop().create_task(self._answered(digest, caller))
            task.add_done_callback(lambda _: asked.pop(digest, None))
        # wait leaves the question running when its client leaves: others may wait for the same answer.
        await asyncio.wait([task])
        return Unanswered.FAULT if task.cancelled() else task.result()

    async def _answered(self, digest: str, caller: str) -> Answer:
        found: Answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._ask(digest)
            if found is not None and not isinstance(found, ApiKey):
                raise TypeError(f"api_keys answers {type(found).__name__}, and not ApiKey or None")
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it was not the hook's doing: the guard is closed
            self._on_fault(error)
            found = Unanswered.FAULT
        if found is not None:  # it was no guess
            self._give_back(caller)
        return found

    # --- how often an address may ask ---------------------------------------------------------------------------------

    def _take(self, caller: str) -> bool:
        left = self._now_left(caller)
        if left < 1.0:
            return False
        self._left.put(caller, (left - 1.0, self._clock()))
        return True

    def _give_back(self, caller: str) -> None:
        self._left.put(caller, (min(UNKNOWN_A_SECOND, self._now_left(caller) + 1.0), self._clock()))

    def _now_left(self, caller: str) -> float:
        left, counted_at = self._left.look(caller) or (UNKNOWN_A_SECOND, self._clock())
        return min(UNKNOWN_A_SECOND, left + (self._clock() - counted_at) * UNKNOWN_A_SECOND)

    async def aclose(self) -> None:
        """Give up the questions of the running event loop."""
        asked = list((self._asked.pop() or {}).values())
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
