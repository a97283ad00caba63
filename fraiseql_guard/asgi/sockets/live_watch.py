"""Ends live connections for a cause outside of them: a block, an expired token, a lost user or key, an operator's
order.

A request is decided about when it comes. A live connection is decided about again here, whenever that decision may have
changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from random import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.registry import (
    BLOCKED_CALLER,
    SHUT_DOWN,
    LiveConnection,
    LiveConnections,
    by_operator,
)
from fraiseql_guard.asgi.sockets.token_expiry import TokenExpiry
from fraiseql_guard.checks.blocks import OperatorBlocks
from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.core.parsing import Network
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.stores.protocol import Imposed
from fraiseql_guard.stores.recent_sanctions import RecentSanction

if TYPE_CHECKING:
    from fraiseql_guard.asgi.async_authentication import IdentityParts
    from fraiseql_guard.asgi.sockets.standing_users import KeyRotation, UserRounds
    from fraiseql_guard.operations.operator.closing_order import ClosingOrder

T = TypeVar("T")

_PAUSE_SECONDS: Final = 1.0
_BUSY_PAUSE_SECONDS: Final = 0.1
"""While tokens wait to be verified again: that makes a hundred a second."""
DRAIN_SECONDS: Final = 30.0
_PART: Final = "sockets"


class LiveWatch:
    """Watches the live connections of one process, with one task, which runs only while there are any.

    ``runtime`` returns the runtime in force, ``blocks`` are the operators' blocks of networks, ``identity`` verifies
    credentials; None without authentication. ``clock`` counts seconds.
    """

    def __init__(
        self,
        live: LiveConnections,
        blocks: OperatorBlocks,
        identity: IdentityParts | None,
        *,
        runtime: Callable[[], Runtime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._blocks, self._runtime = live, blocks, runtime
        self._expiry = TokenExpiry(runtime)
        self._keys: KeyRotation | None = None
        self._users: UserRounds | None = None
        if identity is not None:
            self._watch_users(identity, clock)
        self._task: LoopTask[None] = LoopTask(self._watch)

    def _watch_users(self, identity: IdentityParts, clock: Callable[[], float]) -> None:
        """Watch for users whose token, key or status is no longer good. Only where callers can be users."""
        from fraiseql_guard.asgi.sockets.standing_users import USER_ROUND_SECONDS, KeyRotation, UserRounds

        self._keys = KeyRotation(self._live, self._runtime)
        if identity.user_status is not None:
            self._users = UserRounds(
                self._live, identity.user_status, self._runtime, clock=clock, round_seconds=USER_ROUND_SECONDS
            )

    # --- what lives ---------------------------------------------------------------------------------------------------

    def added(self, connection: LiveConnection) -> None:
        """LiveWatcher.added."""
        self._guarded(self._add, connection)

    def removed(self, connection: LiveConnection) -> None:
        """LiveWatcher.removed."""
        self._expiry.forget(connection)
        if self._users is not None:
            self._users.discard(connection)

    def _add(self, connection: LiveConnection) -> None:
        if not self._task.running:
            if self._keys is not None:
                self._keys.begin()
            self._task.ensure_running()
        self._expiry.watch(connection)
        if self._users is not None:
            self._users.add(connection)
        if self._is_in_blocked_network(connection):  # the block came between the upgrade and now
            connection.end(BLOCKED_CALLER)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def wanted(self) -> bool:
        """Heed.wanted."""
        return len(self._live) > 0

    def sanctioned(self, recent: Iterable[RecentSanction]) -> None:
        """Heed.sanctioned: end the connections that these sanctions bind."""
        for each in recent:
            self._guarded(self._end_sanctioned, each)

    def imposed(self, imposed: Imposed) -> None:
        """End the connections that a sanction binds which this process has just imposed, before the store is polled."""
        if imposed.escalation.enforced and len(self._live):
            self.sanction(imposed.sanction)

    def sanction(self, sanction: Sanction) -> int:
        """End the connections that this sanction binds; returns how many."""
        recent = RecentSanction.of(sanction)
        return 0 if recent is None else self._guarded(self._end_sanctioned, recent) or 0

    def block_networks(self) -> int:
        """End the connections from networks that operators have blocked; returns how many."""
        return self._guarded(self._live.end_where, self._is_in_blocked_network, BLOCKED_CALLER) or 0

    def block(self, network: Network) -> int:
        """End the connections from a network that an operator has just blocked; returns how many."""
        if not self._runtime().enforces(self._blocks.protection):
            return 0
        return self._live.end_all(self._live.in_networks([network]), BLOCKED_CALLER)

    def _end_sanctioned(self, recent: RecentSanction) -> int:
        # Decided as the caller's next request would be: a block of an address does not bind a user behind it.
        binds = self._runtime().admission.binds
        bound = [each for each in self._live.under(recent.tag, recent.member) if binds(each.ctx, recent.policy)]
        return self._live.end_all(bound, BLOCKED_CALLER)

    def _is_in_blocked_network(self, connection: LiveConnection) -> bool:
        blocks = self._blocks
        return self._runtime().enforces(blocks.protection) and blocks.decide(connection.ctx) is not None

    # --- users and keys -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while len(self._live):
            busy = self._keys is not None and self._keys.waiting
            await asyncio.sleep(_BUSY_PAUSE_SECONDS if busy else _PAUSE_SECONDS)
            if self._keys is not None:
                self._guarded(self._keys.step)
            if self._users is not None:
                try:
                    await self._users.step()
                except Exception as error:  # noqa: BLE001 - one look that breaks keeps no other from being taken
                    self._fault(error)

    # --- operators ----------------------------------------------------------------------------------------------------

    def close(self, order: ClosingOrder) -> int:
        """End the connections that an operator's order matches; returns how many."""
        return self._live.end_where(order.means, by_operator(order.code))

    def drain(self) -> int:
        """End all connections, spread over half a minute, so that their clients do not come back all at once."""
        loop = asyncio.get_running_loop()
        for each in self._live:
            loop.call_later(DRAIN_SECONDS * random(), each.end, SHUT_DOWN)  # noqa: S311 - it spreads load
        return len(self._live)

    # --- the end ------------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """End all connections, because the worker ends."""
        self._guarded(self._live.end_all, self._live, SHUT_DOWN)

    async def aclose(self) -> None:
        """End all connections, and the watching task."""
        self.shut_down()
        await self._task.aclose()

    def _guarded(self, part: Callable[..., T], *facts: Any) -> T | None:
        try:
            return part(*facts)
        except Exception as error:  # noqa: BLE001 - a connection that breaks keeps no other from being ended
            self._fault(error)
        return None

    def _fault(self, error: Exception) -> None:
        runtime = self._runtime()
        runtime.tell(runtime.recorder.fault, _PART, error)
