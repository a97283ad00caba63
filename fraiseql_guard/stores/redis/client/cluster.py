"""The nodes of a Redis cluster: finds the node that holds a key, also while slots move (redis.io: cluster-spec)."""

from __future__ import annotations

import asyncio
import contextlib
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client.address import Address
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script
from fraiseql_guard.stores.redis.client.connection import CONNECT_SECONDS, RedisConnection, fixed

SLOTS: Final = 16_384
REDIRECTS: Final = 4
"""Most redirects in a row that are followed: with more the nodes of the cluster disagree."""
MAP_PAUSE_SECONDS: Final = 0.1
"""Shortest time between two requests for the map of slots: failures come by the hundred."""

Place = tuple[str, int]


def key_slot(key: str) -> int:
    """The slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole key without one."""
    start = key.find("{")
    end = key.find("}", start + 1)
    # Empty braces are no tag.
    tag = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return crc_hqx(tag.encode(), 0) % SLOTS


class Cluster:
    """One connection to each node (a Topology). ``seeds`` are asked for the map first, and again when no other node
    answers.

    A node that fails while others answer does not open the breaker: only callers in its slots are without a store. A
    cluster that is down as a whole answers CLUSTERDOWN, which opens the breaker.
    """

    def __init__(self, seeds: Sequence[Address], *, scripts: Sequence[Script] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._seeds = seeds
        self._scripts = scripts
        self._connections: dict[Place, RedisConnection] = {}
        # The node of each slot; empty until the map is known.
        self._slots: list[Place] = []
        self._mapping = LoopTask(self._map)
        self._mapped_at = -MAP_PAUSE_SECONDS
        self._map_failure: StoreError | None = None

    async def call(self, key: str, question: Question, *, timeout_seconds: float) -> Any:
        """The answer of the node that holds ``key`` (Topology.call), redirects followed."""
        deadline = self._loop.time() + timeout_seconds
        if not self._slots:
            await self._wait_for_map(timeout_seconds)
        slot = key_slot(key)
        place, asking = self._slots[slot], False
        for _ in range(REDIRECTS):
            try:
                # All redirects share the one deadline of the request.
                left = max(0.0, deadline - self._loop.time())
                return await self._connection(place).call(question, timeout_seconds=left, asking=asking)
            except StoreError as error:
                target = redirection(error.detail, place)
                if target is None:
                    raise self._failure(error, place) from None
                # An ASK holds for this command alone; a MOVED is permanent, and the map has changed.
                asking = error.detail.startswith("ASK ")
                if not asking:
                    self._slots[slot] = target
                    self._map_soon()
                place = target
        raise StoreError("server", f"more than {REDIRECTS} redirects")

    async def call_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """The answers of all nodes that hold slots (Topology.call_all)."""
        if not self._slots:
            await self._wait_for_map(timeout_seconds)
        places = sorted(set(self._slots))
        return await asyncio.gather(
            *(self._connection(place).call(command, timeout_seconds=timeout_seconds) for place in places)
        )

    async def aclose(self) -> None:
        """Drop all connections (Topology.aclose). The next question asks for the map anew."""
        await self._mapping.aclose()
        connections, self._connections, self._slots = self._connections, {}, []
        await asyncio.gather(*(connection.aclose() for connection in connections.values()))

    def _connection(self, place: Place) -> RedisConnection:
        connection = self._connections.get(place)
        if connection is None:
            address = fixed(self._seeds[0].at(*place))
            # All nodes are greeted alike: they belong to one deployment.
            connection = self._connections[place] = RedisConnection(address, scripts=self._scripts)
        return connection

    def _failure(self, error: StoreError, place: Place) -> StoreError:
        if not error.opens_breaker:
            return error
        self._map_soon()  # a replica may have taken over, or slots may have moved away
        of_one_node = error.reason in ("connection", "timeout")
        others = (connection.connected for at, connection in self._connections.items() if at != place)
        return StoreError(error.reason, error.detail, opens_breaker=not (of_one_node and any(others)))

    async def _wait_for_map(self, timeout_seconds: float) -> None:
        self._map_soon()
        # A question that is at work answers all that wait for it.
        if (mapping := self._mapping.here) is not None:
            # Waiting leaves the task alone: the next request needs its answer as well.
            await asyncio.wait({mapping}, timeout=timeout_seconds)
        if not self._slots:
            because = self._map_failure
            detail = f": {because.detail}" if because is not None else ""
            reason = because.reason if because is not None and because.reason == "refused" else "connection"
            raise StoreError(reason, f"no node of the cluster tells who holds which slots{detail}")

    def _map_soon(self) -> None:
        if self._loop.time() - self._mapped_at >= MAP_PAUSE_SECONDS:
            self._mapping.ensure_running()

    async def _map(self) -> None:
        """Ask all known nodes for the map of slots; the first complete answer is used."""
        seeds = ((seed.host, seed.port) for seed in self._seeds)
        # Known nodes first, then the seeds: all are asked at once, and one of them may be gone.
        places = list(dict.fromkeys((*self._slots, *seeds)))
        asked = [asyncio.ensure_future(self._map_of(place)) for place in places]
        try:
            for answer in asyncio.as_completed(asked):
                # An incomplete answer is passed over, like a missing one.
                with contextlib.suppress(ArithmeticError, LookupError, TypeError, ValueError):
                    try:
                        self._slots = await answer
                    except StoreError as error:
                        self._map_failure = error
                        continue
                    break
        finally:
            # The other answers are not needed any more.
            self._mapped_at = self._loop.time()
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        await self._close_unmapped()

    async def _map_of(self, place: Place) -> list[Place]:
        reply = await self._connection(place).call(("CLUSTER", "SLOTS"), timeout_seconds=CONNECT_SECONDS)
        return read_slots(reply, place)

    async def _close_unmapped(self) -> None:
        """Close idle connections to addresses without slots: another name of a seed, a node that was removed."""
        known = set(self._slots)
        for place in [one for one, connection in self._connections.items() if one not in known and connection.idle]:
            await self._connections.pop(place).aclose()


def read_slots(reply: Iterable[Any], asked: Place) -> list[Place]:
    """The node of each slot, from the answer of the node ``asked`` to CLUSTER SLOTS; LookupError if it names no node.

    A slot that no node holds goes to the node that was asked, which answers CLUSTERDOWN until a node holds it.
    """
    slots: list[Place] = [asked] * SLOTS
    found = False
    for first, last, (host, port, *_), *_ in reply:
        # A node that does not know its own name leaves it out, and means the host that was asked.
        name = host.decode() if host else ""
        place = (asked[0] if name in ("", "?") else name, int(port))
        slots[first : last + 1] = [place] * (last + 1 - first)
        found = True
    if not found:
        raise LookupError("no node holds any slot")
    return slots


def redirection(text: str, asked: Place) -> Place | None:
    """The node that ``MOVED slot host:port`` or ``ASK slot host:port`` names; None if the text is no redirect.

    A node that does not know its own name leaves it out, and means the host that was asked.
    """
    word, _, rest = text.partition(" ")
    if word not in ("MOVED", "ASK"):
        return None
    host, _, port = rest.rpartition(" ")[2].rpartition(":")
    return (asked[0] if host in ("", "?") else host, int(port)) if port.isdecimal() else None
