"""PostgreSQL's notifications (LISTEN, NOTIFY) for all subscribers of a process, over one connection.

Each subscriber has a queue of bounded length. One that falls behind is ended with an error instead of growing without
end. What PostgreSQL notifies while the connection is lost does not reach a subscriber: it reads again what it shows.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import psycopg
from psycopg.sql import SQL, Identifier

_logger = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class FellBehindError(Exception):
    """A subscriber that has not taken its notifications."""


class NotificationQueue:
    """The notifications of one subscriber: ``async for payload in queue``."""

    def __init__(self, length: int) -> None:
        self._waiting: asyncio.Queue[str] = asyncio.Queue(length)
        self._fell_behind = False

    def put(self, payload: str) -> None:
        """Add a notification, or mark the subscriber as one that has fallen behind."""
        try:
            self._waiting.put_nowait(payload)
        except asyncio.QueueFull:
            self._fell_behind = True

    def __aiter__(self) -> NotificationQueue:
        return self

    async def __anext__(self) -> str:
        if self._fell_behind and self._waiting.empty():
            raise FellBehindError("notifications were not taken in time: read again, and subscribe anew")
        return await self._waiting.get()


class Notifications:
    """Listens to ``channels`` while ``running``."""

    def __init__(self, url: str, channels: Sequence[str], *, queue_length: int = 1000) -> None:
        self._url = url
        self._queue_length = queue_length
        self._subscribers: dict[str, set[NotificationQueue]] = {channel: set() for channel in channels}

    @contextmanager
    def subscribed(self, channel: str) -> Iterator[NotificationQueue]:
        """The notifications of a channel from now on."""
        queue = NotificationQueue(self._queue_length)
        self._subscribers[channel].add(queue)
        try:
            yield queue
        finally:
            self._subscribers[channel].discard(queue)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen as long as the block lasts; at its begin the database has to be there."""
        listening = asyncio.Event()
        task = asyncio.create_task(self._keep_listening(listening))
        begun = asyncio.create_task(listening.wait())
        try:
            await asyncio.wait((task, begun), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            yield
        finally:
            for each in (task, begun):
                each.cancel()
                with suppress(asyncio.CancelledError, psycopg.OperationalError):
                    await each

    async def _keep_listening(self, listening: asyncio.Event) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    for channel in self._subscribers:
                        await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                    listening.set()
                    pause = FIRST_PAUSE_SECONDS
                    async for notification in connection.notifies():
                        for queue in self._subscribers[notification.channel]:
                            queue.put(notification.payload)
            except psycopg.OperationalError as error:
                if not listening.is_set():
                    raise
                _logger.warning("notifications: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
