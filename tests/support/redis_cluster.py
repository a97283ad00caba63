"""A Redis cluster of the tests' own: three nodes, no replicas, slots that can be moved while it is in use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import redis

from fraiseql_guard.stores.redis.client.cluster import SLOTS
from tests.support.redis_server import RedisServer

FORMING_SECONDS = 30.0


class RedisCluster:
    """Forms on entering, ends on leaving. ``full_coverage`` is whether one dead node stops the others as well."""

    def __init__(self, *, nodes: int = 3, full_coverage: bool = False) -> None:
        coverage = "yes" if full_coverage else "no"
        arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
        arguments += ["--cluster-require-full-coverage", coverage]
        self.nodes = [RedisServer(*arguments) for _ in range(nodes)]
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """redis+cluster:// with all nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def node_of(self, slot: int) -> RedisServer:
        """Who holds a slot, as the first node that lives sees it."""
        for node in self.nodes:
            try:
                found = self.ask(node, "CLUSTER", "SLOTS")
            except redis.ConnectionError:
                continue
            for first, last, (_, port, *_) in found:
                if first <= slot <= last:
                    return next(one for one in self.nodes if one.port == port)
        raise LookupError(f"nobody holds slot {slot}")

    def ask(self, node: RedisServer, *command: str | int) -> object:
        """One command to one node."""
        with redis.Redis(port=node.port, socket_timeout=5) as client:
            # Raw answers: the client would fold CLUSTER SLOTS into a dictionary.
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def flush(self) -> None:
        """Empty all nodes."""
        for node in self.nodes:
            self.ask(node, "FLUSHALL")

    @contextmanager
    def moving(self, slot: int, target: RedisServer) -> Iterator[RedisServer]:
        """Open a slot for its move, as redis-cli does; yields where it is. On leaving, its keys go and then it."""
        source = self.node_of(slot)
        names = {node.port: self.ask(node, "CLUSTER", "MYID").decode() for node in (source, target)}
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])
        yield source
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            self.ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", names[target.port])

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                self._running.enter_context(node)
            self._form()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _form(self) -> None:
        edges = [SLOTS * position // len(self.nodes) for position in range(len(self.nodes) + 1)]
        for node, first, end in zip(self.nodes, edges, edges[1:], strict=False):
            self.ask(node, "CLUSTER", "ADDSLOTS", *range(first, end))  # ADDSLOTSRANGE is of Redis 7
        for node in self.nodes[1:]:
            self.ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port)
        self.wait_until_agreed(self.nodes)

    def wait_until_agreed(self, nodes: Sequence[RedisServer]) -> None:
        """Return once these nodes know of every slot who holds it."""
        deadline = time.monotonic() + FORMING_SECONDS
        while not all(self._knows_all(node) for node in nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not form")
            time.sleep(0.05)

    def _knows_all(self, node: RedisServer) -> bool:
        info = self.ask(node, "CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and f"cluster_slots_assigned:{SLOTS}" in info
