"""Asks the app whether the user of a verified token still exists and is not disabled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.signals import FailureReason

UserStatus = Literal["active", "not_found", "disabled"]
AskUserStatus = Callable[[Identity], Awaitable[UserStatus | None]]
"""The app's hook: given a verified identity (user_id, claims, scopes, tier), it returns the user's status. None stands
for ``active``, with which the request goes on."""

_REASONS: Final[Mapping[UserStatus | None, FailureReason | None]] = {
    None: None,
    "active": None,
    "not_found": FailureReason.USER_NOT_FOUND,
    "disabled": FailureReason.USER_DISABLED,
}


class NoAnswer(Enum):
    """The app did not answer. The caller has not failed."""

    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class _Answer:
    reason: FailureReason | None
    until: float


class UserStatusCheck:
    """Asks the app's hook, for at most ``timeout_seconds``, and caches its answer for ``memory_seconds`` (0: never).

    ``on_fault`` is given what the hook raised. ``clock`` counts seconds. ``size`` is that of the cache, in users.
    """

    def __init__(
        self,
        ask: AskUserStatus,
        *,
        timeout_seconds: float,
        memory_seconds: float = 0.0,
        on_fault: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
        size: int = 10_000,
    ) -> None:
        self._ask, self._on_fault, self._clock = ask, on_fault, clock
        self._timeout_seconds, self._memory_seconds = timeout_seconds, memory_seconds
        self._answers: Lru[str, _Answer] = Lru(size)

    async def failure(self, identity: Identity) -> FailureReason | NoAnswer | None:
        """The failure if the user does not exist or is disabled, else None; NO_ANSWER if the hook failed."""
        name = identity.subject.name
        # Answers are cached if the operator allows it, faults of the hook never.
        known = self._answers.get(name) if self._memory_seconds else None
        if known is not None and self._clock() < known.until:
            return known.reason
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # An answer that is not in the table is a fault of the hook, too.
                reason = _REASONS[await self._ask(identity)]
        except Exception as error:  # noqa: BLE001 - the hook is the app's: it may raise anything
            self._on_fault(error)
            return NoAnswer.NO_ANSWER
        if self._memory_seconds:
            self._answers.put(name, _Answer(reason, self._clock() + self._memory_seconds))
        return reason
