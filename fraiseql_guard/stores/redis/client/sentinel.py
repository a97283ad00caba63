"""Finds the master behind Sentinels, and notices a failover (redis.io: Guidelines for Sentinel clients)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client.address import Address
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script
from fraiseql_guard.stores.redis.client.connection import RedisConnection, fixed

ANSWER_SECONDS: Final = 0.4
"""Longest wait for a Sentinel's answer; less than an attempt to connect may take."""
LOOK_SECONDS: Final = 1.0
"""Pause between two questions for the master, while requests come."""

Place = tuple[str, int]


class Sentinels:
    """Finds the master. Keeps one connection to each Sentinel."""

    def __init__(self, addresses: Sequence[Address], name: str) -> None:
        self._connections = [RedisConnection(fixed(address)) for address in addresses]
        self._command: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)

    async def find(self) -> Place:
        """Host and port of the master that most of the Sentinels name.

        All are asked at once, and the first majority decides: a dead or frozen Sentinel costs no time, and a Sentinel
        that is cut off from the others is outvoted. StoreError if no Sentinel names a master.
        """
        votes, failures = await self._votes()
        if votes:
            # Without a majority among those that answer, the most votes decide.
            return votes.most_common(1)[0][0]
        if failures:
            raise StoreError(failures[0].reason, f"no Sentinel answers: {failures[0].detail}")
        raise StoreError("connection", "the Sentinels know no master of this name")

    async def _votes(self) -> tuple[Counter[Place], list[StoreError]]:
        """The votes for each master, counted until more than half of the Sentinels agree, and the failures to
        answer."""
        questions = (connection.call(self._command, timeout_seconds=ANSWER_SECONDS) for connection in self._connections)
        asked = {asyncio.ensure_future(question) for question in questions}
        votes: Counter[Place] = Counter()
        failures: list[StoreError] = []
        waiting = asked
        try:
            while waiting and max(votes.values(), default=0) * 2 <= len(asked):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for answer in done:
                    _count(answer, votes, failures)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return votes, failures

    async def aclose(self) -> None:
        """Drop the connections; the next question connects anew."""
        await asyncio.gather(*(connection.aclose() for connection in self._connections))


class WatchedMaster:
    """The master that the Sentinels name (a Topology). ``server`` has the greeting for it, at whatever address.

    The Sentinels are asked with each connect, and every second while requests come: after a failover by order the old
    master lives on for seconds, and takes writes that it forgets later.
    """

    def __init__(self, sentinels: Sequence[Address], name: str, server: Address, scripts: Sequence[Script]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sentinels = Sentinels(sentinels, name)
        self._server = server
        self._place: Place | None = None
        self._connection = RedisConnection(self._find, scripts=scripts)
        self._looked_at = self._loop.time()
        self._looking = LoopTask(self._look)

    def call(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:  # noqa: ARG002
        """Topology.call."""
        self._look_soon()
        return self._connection.call(question, timeout_seconds=timeout_seconds)

    async def call_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """Topology.call_all."""
        return [await self._connection.call(command, timeout_seconds=timeout_seconds)]

    async def aclose(self) -> None:
        """Topology.aclose."""
        await self._looking.aclose()
        await self._connection.aclose()
        await self._sentinels.aclose()

    async def _find(self) -> Address:
        # Asked with each connect: the last master may be a replica now.
        self._place = await self._sentinels.find()
        return self._server.at(*self._place)

    def _look_soon(self) -> None:
        if self._loop.time() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._loop.time()
            self._looking.ensure_running()

    async def _look(self) -> None:
        # Silent Sentinels are no news: the master may be well all the same.
        with contextlib.suppress(StoreError):
            place = await self._sentinels.find()
            if place != self._place:
                self._connection.reconnect("the Sentinels name another master")


def _count(answer: asyncio.Future[Any], votes: Counter[Place], failures: list[StoreError]) -> None:
    error = answer.exception()
    if isinstance(error, StoreError):
        failures.append(error)
    elif error is not None:
        raise error
    elif (found := answer.result()) is not None:
        votes[found[0].decode(), int(found[1])] += 1
