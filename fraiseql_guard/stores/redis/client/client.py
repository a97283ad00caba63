"""The servers of a deployment behind three methods, which any event loop may call."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Sequence
from typing import Any

from fraiseql_guard.core.loop_end import LoopEnd
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script
from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.client.topology import Topology, open_topology


class _LoopServers:
    """The connections of one event loop to the servers."""

    __slots__ = ("end", "topology")

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.end = LoopEnd(topology.aclose)


class RedisClient:
    """Calls the servers of a deployment. Each event loop has one connection to each server, opened when first needed.
    Made by :func:`open_client`."""

    def __init__(self, deployment: Deployment, scripts: Sequence[Script]) -> None:
        self.clustered = deployment.kind == "cluster"
        """Whether keys are on several nodes, so that one call reaches only keys of one hash tag."""
        # Sockets and futures belong to the event loop in which they were made, and end with it.
        self._ours: PerLoop[_LoopServers] = PerLoop(lambda _: _LoopServers(open_topology(deployment, scripts)))

    def call(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:
        """The answer of the server that holds ``key``, as hiredis reads it; StoreError if it is an error or comes too
        late (connecting included)."""
        return self._ours.here().topology.call(key, question, timeout_seconds=timeout_seconds)

    async def call_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """The answers of all servers that hold keys, always in one order; StoreError if one fails."""
        return await self._ours.here().topology.call_all(command, timeout_seconds=timeout_seconds)

    async def aclose(self) -> None:
        """Drop this event loop's connections. The next call connects anew."""
        ours = self._ours.pop()
        if ours is not None:
            await ours.end.aclose()


def open_client(url: str, scripts: Sequence[Script] = ()) -> RedisClient:
    """A client of the servers that a URL names, which loads ``scripts`` into each of them. Nothing is connected yet;
    ValueError (which never holds the URL) for an unusable URL."""
    return RedisClient(Deployment.parse(url), scripts)


def servers_of(url: str) -> Hashable:
    """A value that is equal for all URLs of the same servers and database; ValueError for an unusable URL."""
    deployment = Deployment.parse(url)
    # The password is left out: two URLs with different users are the same servers.
    database = [command[1] for command in deployment.server.greeting if command[0] == "SELECT"]
    return (deployment.kind, frozenset(map(str, deployment.seeds)), deployment.master, *database)
