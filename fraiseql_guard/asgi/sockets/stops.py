"""Tells the app of one socket that an operation is over, or the socket itself."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.types import Message

from fraiseql_guard.asgi.sockets.dialects import AppMessage
from fraiseql_guard.asgi.sockets.inbox import Inbox
from fraiseql_guard.asgi.sockets.link import Link
from fraiseql_guard.asgi.sockets.messages import read_app_message
from fraiseql_guard.asgi.sockets.operations import Operation, Operations
from fraiseql_guard.asgi.sockets.served_app import ServedApp

_TAKEN_SECONDS: Final = 1.0
"""Time in which the app must receive the message that ends an operation whose deadline has passed."""


class Stops:
    """The ends that one socket's app has not received yet."""

    __slots__ = ("_inbox", "_last", "_link", "_operations", "_served", "_waiting")

    def __init__(self, link: Link, inbox: Inbox, operations: Operations, served: ServedApp) -> None:
        self._link = link
        self._inbox = inbox
        self._operations = operations
        self._served = served
        self._waiting: tuple[Operation, ...] = ()  # the oldest first
        self._last: Message | None = None  # the socket's end, held back while mutations are at work

    # --- of an operation ---------------------------------------------------------------------------------------------

    def stop(self, operation: Operation, *, in_time: bool = False) -> None:
        """Have the app receive the end of an operation; ``in_time``: within _TAKEN_SECONDS, else it is stopped."""
        if operation in self._waiting:
            return
        if in_time:
            when = self._link.loop.time() + _TAKEN_SECONDS
            operation.timer = self._link.timers.call_at(when, partial(self._not_taken, operation))
        self._waiting += (operation,)
        self._inbox.wake()

    def take(self) -> Message | None:
        """The next message that ends an operation for the app; None if no end waits."""
        if not self._waiting:
            return None
        operation, self._waiting = self._waiting[0], self._waiting[1:]
        if operation.timer is not None:
            operation.timer.cancel()
        self._operations.released(operation)
        self._let_go()
        return {"type": "websocket.receive", "text": self._link.dialect.stop(operation.id)}

    def _not_taken(self, operation: Operation) -> None:
        if operation in self._waiting:
            self._served.stuck(operation.ctx)

    # --- of the socket -----------------------------------------------------------------------------------------------

    def client_gone(self, message: Message) -> None:
        """The client is gone: the app receives the socket's end, ``message``, once its mutations are done. Until then
        it receives the ends of its other operations."""
        self._last = message
        carried = [each for each in self._operations if each.runs_on]
        for operation in self._operations:
            if operation not in carried:
                self._operations.leave(operation)
                if carried:
                    self.stop(operation)
        self._let_go()

    def follow_unsent(self, message: Message) -> None:
        """Note from a message of the app, which has no client any more, the operation that it completes."""
        text = message.get("text")
        says = read_app_message(text, self._link.dialect) if isinstance(text, str) else None
        operation = None if says is None else self._operations.get(says.id)
        if says is not None and operation is not None and says.kind in (AppMessage.COMPLETE, AppMessage.ERROR):
            self._operations.end(operation, failed=says.kind is AppMessage.ERROR)
        self._let_go()

    def _let_go(self) -> None:
        """Let the app receive the socket's end, unless a mutation is at work."""
        if self._last is None or self._inbox.disconnect is not None or len(self._operations):
            return
        self._inbox.disconnect = self._last
        self._inbox.wake()
        self._served.can_end()

    def close(self) -> None:
        """The app has returned: forget all ends."""
        for operation in self._waiting:
            if operation.timer is not None:
                operation.timer.cancel()
        self._waiting = ()
        self._inbox.discard()
