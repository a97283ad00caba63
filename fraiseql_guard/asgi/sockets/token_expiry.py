"""Ends live connections when their tokens are over: one timer each, which a later token replaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.sockets.registry import TOKEN_OVER, LiveConnection
from fraiseql_guard.core.deadline_timers import DeadlineTimer
from fraiseql_guard.core.signals import Protection

_LONGEST_SECONDS: Final = 600.0
"""A token may hold for years. The event loop's clock and that of the calendar are compared again in between."""
_MONITORED_SECONDS: Final = 60.0
"""After so long a token that is over is looked at again, where authentication only monitors."""


class TokenExpiry:
    """Knows when the token of each connection is over, leeway and grace included.

    As with a request, that matters only where a token is needed: elsewhere the caller would be anonymous, and goes on.
    ``runtime`` returns the one in force.
    """

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime
        self._timers: dict[LiveConnection, DeadlineTimer] = {}

    def watch(self, connection: LiveConnection) -> None:
        """End this connection when the token of its identity is over; that of an identity before does not matter."""
        self.forget(connection)
        left = self._left(connection)
        if left is not None:
            self._ring_in(left, connection)

    def forget(self, connection: LiveConnection) -> None:
        """The connection has ended."""
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def __len__(self) -> int:
        return len(self._timers)

    def _left(self, connection: LiveConnection) -> float | None:
        """Seconds for which the token holds; None where none is needed, none was sent, or it never
        ends."""
        runtime, ctx = self._runtime(), connection.ctx
        if ctx.identity is None or runtime.verifier is None or not ctx.place.needs_token:
            return None
        until = runtime.verifier.accepted_until(ctx.identity)
        return None if until is None else until - runtime.now()

    def _ring_in(self, seconds: float, connection: LiveConnection) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + min(max(0.0, seconds), _LONGEST_SECONDS)
        self._timers[connection] = self._runtime().timers.of(loop).call_at(when, partial(self._due, connection))

    def _due(self, connection: LiveConnection) -> None:
        del self._timers[connection]
        left = self._left(connection)
        if left is None:
            return
        if left > 0:
            self._ring_in(left, connection)
        elif self._runtime().enforces(Protection.AUTH):
            connection.end(TOKEN_OVER)
        else:
            self._ring_in(_MONITORED_SECONDS, connection)
