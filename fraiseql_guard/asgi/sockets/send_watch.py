"""Ends the sockets of clients that do not take what is sent to them."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Protocol


class SendingSocket(Protocol):
    """A socket over which something is sent."""

    @property
    def send_seconds(self) -> float:
        """How long a send may take, by the settings in force."""
        ...

    def end_slow(self) -> bool:
        """End the socket, since a send takes too long. False where that is not enforced."""
        ...


class SendWatch:
    """The sends of one event loop that are under way. They share one timer: nearly all of them are done at once."""

    __slots__ = ("_loop", "_numbers", "_timer", "_under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[int, tuple[float, SendingSocket]] = {}  # by number, each with its beginning, oldest first

    def begin(self, socket: SendingSocket) -> int:
        """Note a send that begins; its number."""
        number = next(self._numbers)
        self._under_way[number] = (self._loop.time(), socket)
        if self._timer is None:
            self._look()
        return number

    def end(self, number: int) -> None:
        """A send is done."""
        self._under_way.pop(number, None)

    def _look(self) -> None:
        """End the sockets whose sends take too long, and come back when the next one does."""
        self._timer = None
        now = self._loop.time()
        for number, (begun_at, socket) in list(self._under_way.items()):
            if now < begun_at + socket.send_seconds:
                break
            del self._under_way[number]
            if not socket.end_slow():
                self._under_way[number] = (now, socket)  # looked at again after as long: it may be enforced then
        oldest = next(iter(self._under_way.values()), None)
        if oldest is not None:
            begun_at, socket = oldest
            self._timer = self._loop.call_at(begun_at + socket.send_seconds, self._look)
