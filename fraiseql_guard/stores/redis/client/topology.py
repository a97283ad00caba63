"""Finds the server of a key: the only one, the master that Sentinels name, or the node of a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from fraiseql_guard.stores.redis.client.address import Address
from fraiseql_guard.stores.redis.client.cluster import Cluster
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script
from fraiseql_guard.stores.redis.client.connection import RedisConnection, fixed
from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.client.sentinel import WatchedMaster


class Topology(Protocol):
    """The servers of a deployment, for one event loop. The first call connects."""

    def call(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:
        """The answer of the server that holds ``key``; StoreError if it is an error or comes too late."""
        ...

    async def call_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """The answers of all servers that hold keys, always in one order; StoreError if one fails."""
        ...

    async def aclose(self) -> None:
        """Drop all connections. The next call connects anew."""
        ...


class Single:
    """One server holds all keys."""

    def __init__(self, address: Address, scripts: Sequence[Script]) -> None:
        self._connection = RedisConnection(fixed(address), scripts=scripts)

    def call(self, key: str, question: Question, *, timeout_seconds: float) -> Awaitable[Any]:  # noqa: ARG002
        """Topology.call."""
        return self._connection.call(question, timeout_seconds=timeout_seconds)

    async def call_all(self, command: Command, *, timeout_seconds: float) -> Sequence[Any]:
        """Topology.call_all."""
        return [await self._connection.call(command, timeout_seconds=timeout_seconds)]

    async def aclose(self) -> None:
        """Topology.aclose."""
        await self._connection.aclose()


def open_topology(deployment: Deployment, scripts: Sequence[Script]) -> Topology:
    """The servers of a deployment, for the running event loop; each connect loads the scripts."""
    if deployment.kind == "cluster":
        return Cluster(deployment.seeds, scripts=scripts)
    if deployment.kind == "sentinel":
        return WatchedMaster(deployment.seeds, deployment.master, deployment.server, scripts)
    return Single(deployment.server, scripts)
