"""Which server answers for a key: the one there is, the master that Sentinels name, or the node of a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from fraiseql_guard.stores.redis.client.address import Address, Command
from fraiseql_guard.stores.redis.client.cluster import Cluster
from fraiseql_guard.stores.redis.client.connection import RedisConnection, fixed
from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.client.sentinel import WatchedMaster
from fraiseql_guard.stores.redis.scripts import Question, Script


class Topology(Protocol):
    """The servers of a deployment as one event loop sees them. Nothing is connected before it is asked."""

    def ask(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:
        """The answer of the server that holds ``key``; StoreError if it is an error or comes too late."""
        ...

    async def ask_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """The answers of all servers that hold keys, in the same order each time; StoreError if one fails."""
        ...

    async def aclose(self) -> None:
        """Drop all connections. The next question connects anew."""
        ...


class Single:
    """One server holds all keys."""

    def __init__(self, address: Address, scripts: Sequence[Script]) -> None:
        self._channel = RedisConnection(fixed(address), scripts=scripts)

    def ask(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:  # noqa: ARG002
        """Topology.ask."""
        return self._channel.ask(question, timeout_seconds=timeout_seconds)

    async def ask_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """Topology.ask_all."""
        return [await self._channel.ask(command, timeout_seconds=timeout_seconds)]

    async def aclose(self) -> None:
        """Topology.aclose."""
        await self._channel.aclose()


def open_topology(deployment: Deployment, scripts: Sequence[Script]) -> Topology:
    """The servers of a deployment, for the running event loop, with the scripts that each of them must know."""
    if deployment.kind == "cluster":
        return Cluster(deployment.seeds, scripts=scripts)
    if deployment.kind == "sentinel":
        return WatchedMaster(deployment.seeds, deployment.master, deployment.server, scripts)
    return Single(deployment.server, scripts)
