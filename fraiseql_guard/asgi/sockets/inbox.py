"""The one reader of a socket's ``receive``. It reads one message ahead, so that it notices when the client leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive

from fraiseql_guard.asgi.body_budget import HeldBody, holder_of
from fraiseql_guard.asgi.sockets.link import FULL, Link, Phase
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.request import current

LOST: Final = 1006
"""RFC 6455, section 7.1.5: the connection ended without a close frame."""
_FULL_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


@dataclass(slots=True)
class Arrived:
    """A message of the client, as the server delivered it. ``early``: it came before the app had acknowledged the
    initialization. ``within``: the context that an outer guard, which let the message pass, has made for it."""

    message: Message
    held: HeldBody
    early: bool
    size: int
    within: RequestContext | None


class Inbox:
    """Reads messages one by one, the next one when the last was taken. The socket is ended with a request to come back
    if there is no memory for a message for ten seconds."""

    __slots__ = ("_arrived", "_begun", "_discards", "_link", "_opened", "_paused", "_receive", "_waiter",
                 "disconnect")  # fmt: skip

    def __init__(self, link: Link, receive: Receive) -> None:
        self._link = link
        self._receive = receive
        self._arrived: Arrived | None = None
        self._paused: asyncio.Future[None] | None = None  # the reader waits until a message is wanted
        self._waiter: asyncio.Future[None] | None = None  # the app waits for anything
        self._begun = self._opened = self._discards = False
        self.disconnect: Message | None = None
        """The message that the app receives at the end, at every further ``receive``."""

    # --- the reader ---------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read until the client leaves. Runs beside the app."""
        link = self._link
        try:
            while True:
                while not self._may_read:
                    self._paused = link.loop.create_future()
                    await self._paused
                message = await self._receive()
                self._begun = True
                if message["type"] == "websocket.disconnect":
                    link.client_left(message)
                    return
                if not (self._discards or await self._keep(message)):
                    link.end(FULL)
                    return
        except Exception as error:  # noqa: BLE001 - a server that fails here has lost its client
            link.runtime.tell(link.runtime.recorder.fault, "receive", error)
            link.client_left({"type": "websocket.disconnect", "code": LOST})

    @property
    def _may_read(self) -> bool:
        return self._discards or (self._arrived is None and (self._opened or not self._begun))

    async def _keep(self, message: Message) -> bool:
        """Keep a message until the app takes it; False if there is no memory for it in time. Meanwhile nothing is
        read."""
        link, runtime = self._link, self._link.runtime
        held, size = HeldBody(runtime.budget), _size(message)
        held.charge_to(holder_of(link.ctx), runtime.body_share_bytes)
        looks = int(_FULL_SECONDS / _LOOK_SECONDS)
        while size and held.add(size) is not None:
            held.release()
            if not looks:
                return False
            looks -= 1
            await asyncio.sleep(_LOOK_SECONDS)
        self._arrived = Arrived(message, held, link.phase < Phase.READY, size, current())
        self.wake()
        return True

    def _read_on(self) -> None:
        """Wake the reader, which reads on if it may."""
        if self._paused is not None and not self._paused.done():
            self._paused.set_result(None)
        self._paused = None

    def open(self) -> None:
        """Read beyond the ``websocket.connect``: the socket is accepted, or the app asks for more."""
        self._opened = True
        self._read_on()

    def discard(self) -> None:
        """Drop all further messages. They are read all the same: a server may not notice the client's end otherwise."""
        self._discards = True
        arrived = self.take()
        if arrived is not None:
            arrived.held.release()

    # --- the app ------------------------------------------------------------------------------------------------------

    def take(self) -> Arrived | None:
        """The message that waits, None without one; the next one is read from now on."""
        arrived, self._arrived = self._arrived, None
        self._read_on()
        return arrived

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the message that waits."""
        return 0 if self._arrived is None else self._arrived.size

    def wait(self) -> asyncio.Future[None]:
        """A future that is done once a message has come, or :meth:`wake` was called. One task waits at a time."""
        if self._begun and not self._opened:
            self.open()
        waiter = self._waiter = self._link.loop.create_future()
        return waiter

    def wake(self) -> None:
        """Wake the app's ``receive``, which looks for something to return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _size(message: Message) -> int:
    """The length of a message in bytes, at least; servers may leave out one of its two keys, or set it to None."""
    return len(message.get("text") or message.get("bytes") or b"")
