"""Asks the app about unknown API keys, in bounded time and with a bounded number of questions for each address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.identity.api_keys import ApiKey

AskApiKey = Callable[[str], Awaitable[ApiKey | None]]
"""The app's hook: given the hex SHA-256 of a key, it returns the key's data, or None for an unknown key."""

ANSWER_SECONDS: Final = 2.0
"""Longest wait for the app's answer."""
UNKNOWN_A_SECOND: Final = 10.0
"""Questions a second for each address. A question about a key that the app knows does not count."""
_MOST_AT_ONCE: Final = 200
_ADDRESSES: Final = 10_000


class Unanswered(Enum):
    """Why the app has not answered. The caller has not failed."""

    FAULT = "fault"
    FLOOD = "flood"  # not asked: the address has sent too many unknown keys


Answer = ApiKey | Unanswered | None


class ApiKeyQuestions:
    """Asks the app's hook. Requests with one key at the same time ask once.

    ``on_fault`` is given what the hook raised, a timeout included. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self, ask: AskApiKey, *, on_fault: Callable[[BaseException], None], clock: Callable[[], float]
    ) -> None:
        self._ask, self._on_fault, self._clock = ask, on_fault, clock
        self._asked: PerLoop[dict[str, asyncio.Task[Answer]]] = PerLoop(lambda _: {})
        self._left: Lru[str, tuple[float, float]] = Lru(_ADDRESSES)

    async def answer(self, digest: str, caller: str) -> Answer:
        """The app's answer about the key with this digest: its data, None for an unknown key, or why there is no
        answer. ``caller`` is the address whose questions are counted."""
        asked = self._asked.here()
        task = asked.get(digest)
        if task is None:
            if len(asked) >= _MOST_AT_ONCE:
                return Unanswered.FAULT
            if not self._take(caller):
                return Unanswered.FLOOD
            task = asked[digest] = asyncio.get_running_loop().create_task(self._ask_app(digest, caller))
            task.add_done_callback(lambda _: asked.pop(digest, None))
        # wait leaves the question running when its client leaves: others may wait for the same answer.
        await asyncio.wait([task])
        return Unanswered.FAULT if task.cancelled() else task.result()

    async def _ask_app(self, digest: str, caller: str) -> Answer:
        found: Answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._ask(digest)
            if found is not None and not isinstance(found, ApiKey):
                raise TypeError(f"api_keys answers {type(found).__name__}, and not ApiKey or None")
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the guard is closed; the hook is not at fault
            self._on_fault(error)
            found = Unanswered.FAULT
        if found is not None:  # only questions about unknown keys count
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
        """Cancel the questions of the running event loop."""
        asked = list((self._asked.pop() or {}).values())
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
