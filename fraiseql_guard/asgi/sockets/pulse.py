"""The clock of a socket: how long it may take to be initialized, be silent, be idle, and live."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.link import Link, Phase
from fraiseql_guard.asgi.sockets.operations import Operations
from fraiseql_guard.asgi.sockets.registry import Ending
from fraiseql_guard.core.deadline_timers import DeadlineTimer
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import OVERLOADED, SOCKET_PROTOCOL, ClosingReason

_PONG_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 30.0
"""So often the settings in force are looked at, whatever they were."""
_SPREAD: Final = 0.1
"""A part of the longest life that is taken off at random: clients of one moment do not come back in one moment."""
_SILENT: Final = Ending(ClosingReason.IDLE, SOCKET_PROTOCOL, "NO_PONG", dialects.TIMEOUT)
_IDLE: Final = Ending(ClosingReason.IDLE, SOCKET_PROTOCOL, "IDLE", dialects.TIMEOUT)
_OLD: Final = Ending(ClosingReason.AGE, OVERLOADED, "AGE", dialects.UNAVAILABLE)
_UNACKNOWLEDGED: Final = Ending(ClosingReason.OVERLOAD, OVERLOADED, OVERLOADED.name, dialects.UNAVAILABLE)


class Pulse:
    """Looks after one socket with one timer, by the settings in force when it rings."""

    __slots__ = ("_link", "_opened_at", "_operations", "_part", "_phase_since", "_pinged_at", "_timer", "busy_at",
                 "heard_at")  # fmt: skip

    def __init__(self, link: Link, operations: Operations) -> None:
        self._link = link
        self._operations = operations
        self._timer: DeadlineTimer | None = None
        self._opened_at = self.heard_at = self.busy_at = link.loop.time()
        """``heard_at``: when the client last said anything; ``busy_at``: when it last said more than that it is
        there, or had an operation open."""
        self._phase_since = self._opened_at
        self._pinged_at: float | None = None
        self._part = 1.0 - random.random() * _SPREAD  # noqa: S311 - nothing that must not be guessed

    def heard(self, *, busy: bool) -> None:
        """The client has said something."""
        self.heard_at = now = self._link.loop.time()
        if busy:
            self.busy_at = now
        if self._pinged_at is not None:
            self._pinged_at = None
            self._look()

    def advanced(self) -> None:
        """The socket has come a step further."""
        self._phase_since = self._link.loop.time()
        self._look()

    def stop(self) -> None:
        """The socket is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __call__(self) -> None:
        """The timer has rung."""
        self._timer = None
        self._look()

    def _look(self) -> None:
        """End the socket if it is time, ping if it is, and come back at the next moment that matters."""
        link = self._link
        if link.is_over:
            return
        now = link.loop.time()
        if len(self._operations):
            self.busy_at = now
        dues = self._dues(link.runtime.settings)
        for due, act in dues:
            if now >= due:
                act()
        if not link.is_over:
            following = max(min(due for due, _ in self._dues(link.runtime.settings)), now + 0.001)
            if self._timer is not None and self._timer.when() > following:
                self.stop()
            if self._timer is None:  # else it rings sooner, and looks again then
                self._timer = link.timers.call_at(following, self)

    def _dues(self, settings: Settings) -> list[tuple[float, Callable[[], object]]]:
        link = self._link
        dues: list[tuple[float, Callable[[], object]]] = [(link.loop.time() + _LOOK_SECONDS, _nothing)]
        if link.phase < Phase.READY:
            dues.append((self._phase_since + settings.socket_init_seconds, self._not_ready))
        if not link.enforcing:
            return dues
        dues += [
            (self._opened_at + settings.socket_max_seconds * self._part, lambda: link.end(_OLD)),
            (self.busy_at + settings.socket_idle_seconds, lambda: link.end(_IDLE)),
        ]
        if link.phase < Phase.READY:
            return dues
        if self._pinged_at is not None:
            dues.append((self._pinged_at + _PONG_SECONDS, lambda: link.end(_SILENT)))
        elif link.dialect.ping is not None and settings.socket_ping_seconds:
            dues.append((self.heard_at + settings.socket_ping_seconds, self._send_ping))
        return dues

    def _send_ping(self) -> None:
        self._pinged_at = self._link.loop.time()
        if self._link.dialect.ping is not None:
            self._link.say(self._link.dialect.ping)

    def _not_ready(self) -> None:
        """The client has not said who it is; or the app has not answered to that."""
        link = self._link
        self._phase_since = link.loop.time()  # where it is only noted, once in so long
        if link.phase is Phase.INITIALIZED:
            if link.enforcing:
                link.end(_UNACKNOWLEDGED)
            return
        seconds = link.runtime.settings.socket_init_seconds
        detail = f"No connection_init came within {seconds:g} s. {name_of('socket_init_seconds')} decides this."
        denial = Denial(SOCKET_PROTOCOL, detail=detail, limit=seconds, protection=link.runtime.body_judge)
        link.breach(denial, ClosingReason.INIT_TIMEOUT, dialects.TIMEOUT)


def _nothing() -> None:
    """Nothing is due."""
