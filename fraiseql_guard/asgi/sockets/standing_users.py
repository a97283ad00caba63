"""Ends live connections whose users are gone, or whose tokens the keys in force do not confirm any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import randrange
from typing import Any, Final

from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.registry import USER_GONE, LiveConnection, LiveConnections
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.signals import FailureReason, Protection
from fraiseql_guard.identity.tokens import TokenFailure
from fraiseql_guard.identity.user_status import NoAnswer, UserStatusCheck

USER_ROUND_SECONDS: Final = 60.0
"""How often the app is asked for the user of each connection."""
_SLOTS: Final = 60
_ASKED_AT_ONCE: Final = 20
VERIFIED_A_STEP: Final = 10
"""Tokens that are verified again before the event loop gets its turn."""


class UserRounds:
    """Asks the app for each connection's user once a round, at a random moment of it: they came together after a
    deploy, and are not asked for together. A user who is gone loses all connections; no answer ends none.

    ``clock`` counts seconds.
    """

    def __init__(
        self,
        live: LiveConnections,
        check: UserStatusCheck,
        runtime: Callable[[], Runtime],
        *,
        clock: Callable[[], float],
        round_seconds: float = USER_ROUND_SECONDS,
    ) -> None:
        self._live, self._check, self._runtime = live, check, runtime
        self._clock = clock
        self._slot_seconds = round_seconds / _SLOTS
        self._slots: list[dict[LiveConnection, None]] = [{} for _ in range(_SLOTS)]
        self._slot_of: dict[LiveConnection, int] = {}
        self._asked_to = int(clock() / self._slot_seconds)

    def add(self, connection: LiveConnection) -> None:
        """Ask for the user of this connection from now on, if it has one."""
        self.discard(connection)
        if _matters(connection):
            slot = self._slot_of[connection] = randrange(_SLOTS)  # noqa: S311 - it spreads work, and hides nothing
            self._slots[slot][connection] = None

    def discard(self, connection: LiveConnection) -> None:
        """The connection has ended."""
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            del self._slots[slot][connection]

    async def step(self) -> None:
        """Ask for those whose moment has come since the last step."""
        now = int(self._clock() / self._slot_seconds)
        turns = range(max(self._asked_to + 1, now - _SLOTS + 1), now + 1)
        self._asked_to = now
        due = [each for turn in turns for each in self._slots[turn % _SLOTS]]
        # One question for each user, however many connections they have.
        users = {each.ctx.identity.subject: each.ctx.identity for each in due if each.ctx.identity is not None}
        waiting = deque(users.values())
        while waiting:
            some = [waiting.popleft() for _ in range(min(_ASKED_AT_ONCE, len(waiting)))]
            await asyncio.gather(*map(self._ask, some))

    async def _ask(self, identity: Identity) -> None:
        failure = await self._check.failure(identity)
        if failure is None or isinstance(failure, NoAnswer) or not self._runtime().enforces(Protection.AUTH):
            return
        self._live.end_all(filter(_matters, self._live.of_subject(identity.subject)), USER_GONE)


class KeyRotation:
    """Verifies the tokens of all connections again when the keys have changed, a few at a time."""

    def __init__(self, live: LiveConnections, runtime: Callable[[], Runtime]) -> None:
        self._live, self._runtime = live, runtime
        self._waiting: deque[LiveConnection] = deque()
        self._keys: Any = None

    def begin(self) -> None:
        """What lives from now on was verified by the keys that are in force now."""
        self._keys = self._in_force()
        self._waiting.clear()

    @property
    def waiting(self) -> bool:
        """Whether some are still to be verified."""
        return bool(self._waiting)

    def step(self) -> None:
        """Look whether the keys have changed, and verify some of the tokens that wait."""
        keys = self._in_force()
        if keys is not self._keys:
            self._keys = keys
            self._waiting = deque(filter(_matters, self._live))
        for _ in range(min(VERIFIED_A_STEP, len(self._waiting))):
            connection = self._waiting.popleft()
            if connection in self._live:
                self._verify(connection)

    def _in_force(self) -> Any:
        verifier = self._runtime().verifier
        return None if verifier is None else verifier.keys_in_force()

    def _verify(self, connection: LiveConnection) -> None:
        runtime = self._runtime()
        if runtime.verifier is None or not _matters(connection):
            return
        found = runtime.verifier.verify_again(connection.credentials)
        # One that is over ends by its timer, and only where a token is needed.
        failed = isinstance(found, TokenFailure) and found.reason is not FailureReason.TOKEN_EXPIRED
        if failed and runtime.enforces(Protection.AUTH):
            connection.end(USER_GONE)


def _matters(connection: LiveConnection) -> bool:
    """Whether it has a user, and needs one. Elsewhere a caller whose token is not accepted is anonymous."""
    return connection.ctx.identity is not None and connection.ctx.place.needs_token
