"""The one reader of a socket's ``receive``: one message is read ahead, so that it is seen when the client leaves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive

from fraiseql_guard.asgi.body_budget import HeldBody
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.request import current

LOST: Final = 1006
"""RFC 6455, section 7.1.5: the connection ended without a close frame."""
_FULL_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


@dataclass(slots=True)
class Arrived:
    """A message of a client, as the server has brought it. ``early``: it came before the app had acknowledged the
    initialization. ``within``: what it is to a guard further outside, which has decided about it before."""

    message: Message
    held: HeldBody
    early: bool
    size: int
    within: RequestContext | None


class Inbox:
    """Reads messages one by one, the next one when the last was taken.

    ``on_left`` is told of the client's disconnect, ``on_full`` that there was no memory for a message for ten seconds.
    What is put in front comes before messages that wait.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        hold: Callable[[], HeldBody],
        is_early: Callable[[], bool],
        on_left: Callable[[Message], None],
        on_full: Callable[[], None],
        on_fault: Callable[[BaseException], object],
    ) -> None:
        self._receive = receive
        self._hold = hold
        self._is_early = is_early
        self._on_left, self._on_full, self._on_fault = on_left, on_full, on_fault
        self._arrived: Arrived | None = None
        self._wanted: asyncio.Future[None] | None = None  # the reader waits until a message is wanted
        self._waiter: asyncio.Future[None] | None = None  # the app waits for anything
        self._begun = self._discards = False
        self.go = asyncio.Event()
        """Whether the client may be read beyond its ``websocket.connect``: once it is accepted, or the app asks."""
        self.front: deque[Callable[[], Message]] = deque()
        """What the app receives next, made when it takes it."""
        self.disconnect: Message | None = None
        """What the app receives at the end, again and again."""

    async def read(self) -> None:
        """Read until the client leaves. Runs beside the app."""
        try:
            while await self._read_one():
                pass
        except Exception as error:  # noqa: BLE001 - a server that fails here has lost its client
            self._on_fault(error)
            self._on_left({"type": "websocket.disconnect", "code": LOST})

    async def _read_one(self) -> bool:
        if self._arrived is None and self._begun:
            await self.go.wait()
        message = await self._receive()
        self._begun = True
        if message["type"] == "websocket.disconnect":
            self._on_left(message)
            return False
        if self._discards:
            return True
        held, size = self._hold(), _size(message)
        if not await self._room(held, size):
            self._on_full()
            return False
        self._arrived = Arrived(message, held, self._is_early(), size, current())
        self._wanted = asyncio.get_running_loop().create_future()
        self.wake()
        await self._wanted
        return True

    async def _room(self, held: HeldBody, size: int) -> bool:
        """Whether there is memory for a message; as long as there is none, the client is not read."""
        looks = int(_FULL_SECONDS / _LOOK_SECONDS)
        while size and held.add(size) is not None:
            held.release()
            if not looks:
                return False
            looks -= 1
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def take(self) -> Arrived | None:
        """The message that waits; the next one is read from now on."""
        arrived, self._arrived = self._arrived, None
        if arrived is not None and self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
        return arrived

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the message that waits."""
        return 0 if self._arrived is None else self._arrived.size

    @property
    def has_arrived(self) -> bool:
        """Whether a message waits."""
        return self._arrived is not None

    async def wait(self) -> None:
        """Until something has come, or was put in front. One task waits at a time."""
        if self._begun:
            self.go.set()
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Have the app look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def discard(self) -> None:
        """Nothing is wanted any more. The client is read on all the same: a server may not see to its end before."""
        self._discards = True
        self.go.set()
        arrived = self.take()
        if arrived is not None:
            arrived.held.release()


def _size(message: Message) -> int:
    """Bytes of a message at least; of its two keys servers may leave out one, or set it to None."""
    return len(message.get("text") or message.get("bytes") or b"")
