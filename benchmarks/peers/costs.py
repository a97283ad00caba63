"""What a variant costs: requests a second, CPU a request, commands a request."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

import redis

from benchmarks.peers.effort import Effort
from benchmarks.peers.processes import Called, Server
from benchmarks.peers.variants import Variant

PLENTY = 900_000_000
"""A limit that no caller reaches."""
CONCURRENCIES = (1, 64)
_WARM_UP = 300
_FIRST = 200
_WARM_UP_SHARE = 5
"""A fifth of each slice comes before it is counted: the others have had the processor meanwhile, and its caches."""
SERVED, CALLED = "behind uvicorn", "called directly"
WAYS: dict[str, type[Server] | type[Called]] = {SERVED: Server, CALLED: Called}
"""How variants are asked. A server has its own bill for what a limiter says, header by header; called directly, only
the limiter's is left."""
_DATABASES = 16
_LEAST_COMMANDS = 0.5
"""Fewer a request are none of the variant's."""
_BEGIN_MARK, _END_MARK = "the beginning", "the end"


@dataclass(slots=True)
class Costs:
    """The figures of all rounds, in the order of the rounds; ``cpu`` in microseconds a request by concurrency."""

    per_second: list[float] = field(default_factory=list)
    cpu: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in CONCURRENCIES})
    commands: float | None = None
    reached: list[float] = field(default_factory=list)
    """Work of Redis a request at 64 as a share of that at one: below 1 some were decided without Redis."""


@dataclass(slots=True)
class _Sum:
    """What one variant did at one concurrency in all slices of a round."""

    requests: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    calls: int = 0


class Round:
    """One round: the processes of all variants at once, each with a database of its own, asked in turns. ``way`` is how
    they are asked: served, or called directly.

    A machine whose speed changes from second to second is the same one for all of them then.
    """

    def __init__(self, way: type[Server] | type[Called], redis_url: str, effort: Effort) -> None:
        self._way = way
        self._redis_url = redis_url
        self._effort = effort
        self._running: dict[str, Server | Called] = {}
        self._sums: dict[str, dict[int, _Sum]] = {}
        self._open = ExitStack()
        self._client = redis.Redis.from_url(redis_url)

    def __enter__(self) -> Self:
        self._open.enter_context(self._client)
        self._client.flushall()
        return self

    def __exit__(self, *reason: object) -> None:
        self._open.close()

    def start(self, variant: Variant, costs: Costs) -> None:
        """Have a variant take part. Commands are counted the first time, while no other variant of this name asks."""
        url = database_url(self._redis_url, len(self._running))
        running: Server | Called = self._open.enter_context(self._way(variant, url, per_hour=PLENTY))
        for each in CONCURRENCIES:
            running.ask(each, _FIRST, warm_up=_WARM_UP)  # the first answers may be others
        if costs.commands is None:
            costs.commands = _count_commands(self._client, running, self._effort.counted)
        self._running[variant.name] = running
        self._sums[variant.name] = {each: _Sum() for each in CONCURRENCIES}

    def turn(self, name: str) -> None:
        """One slice of a variant's requests, at each concurrency."""
        if name not in self._running:
            return
        for each, total in self._sums[name].items():
            count = self._effort.requests // self._effort.slices // (1 if each > 1 else 2)  # one at a time takes longer
            before = _calls(self._client)
            result = self._running[name].ask(each, count, warm_up=count // _WARM_UP_SHARE)
            total.calls += _calls(self._client) - before
            total.requests += count
            total.seconds += result.elapsed
            total.cpu_seconds += result.cpu_seconds

    def give_up(self, name: str) -> None:
        """Leave a variant out that has failed."""
        self._running.pop(name, None)

    def add_to(self, costs: Costs, name: str) -> None:
        """Add a variant's figures, all or none."""
        if name not in self._running:
            return
        one, many = (self._sums[name][each] for each in CONCURRENCIES)
        costs.per_second.append(many.requests / many.seconds)
        for each, total in self._sums[name].items():
            costs.cpu[each].append(total.cpu_seconds / total.requests * 1e6)
        calls = one.calls / one.requests
        costs.reached.append(many.calls / many.requests / calls if calls > _LEAST_COMMANDS else 1.0)


def database_url(redis_url: str, number: int) -> str:
    """The URL of another database of the same Redis: there are 16, which are taken in turns."""
    server, _, _ = redis_url.rpartition("/")
    return f"{server}/{number % _DATABASES}"


def _calls(client: redis.Redis) -> int:
    """Commands run so far, those of scripts included."""
    return sum(each["calls"] for each in client.info("commandstats").values())


def _count_commands(client: redis.Redis, running: Server | Called, count: int) -> float:
    """Commands that the process sends a request.

    By MONITOR and not by INFO commandstats, which count what a script calls inside Redis like what a client sends.
    """
    with client.monitor() as monitor:
        client.echo(_BEGIN_MARK)  # connects, which are commands too
        running.ask(1, count)
        client.echo(_END_MARK)
        sent = 0
        for command in monitor.listen():
            if _BEGIN_MARK in command["command"]:
                sent = 0
            elif _END_MARK in command["command"]:
                return sent / count
            else:
                sent += command["client_type"] != "lua"
    return 0.0
