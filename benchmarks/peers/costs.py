"""What a variant costs: requests a second, CPU a request, commands a request."""

from __future__ import annotations

from dataclasses import dataclass, field

import redis

from benchmarks.peers.load import Order
from benchmarks.peers.processes import Load, Server, VariantFailed
from benchmarks.peers.variants import Variant

PATH = "/limited"
PLENTY = 900_000_000
"""A limit that nobody reaches."""
CONCURRENCIES = (1, 64)
_WARM_UP = 300
_COUNTED = 200
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


def measure(variant: Variant, redis_url: str, costs: Costs, requests: int) -> None:
    """One round: adds its figures, all or none."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        with Server(variant, redis_url, per_hour=PLENTY) as server:
            one, many = (_load(client, server, variant, each, requests) for each in CONCURRENCIES)
            if costs.commands is None:
                costs.commands = _count_commands(client, server, variant)
    costs.per_second.append(many[0])
    costs.cpu[CONCURRENCIES[0]].append(one[1])
    costs.cpu[CONCURRENCIES[1]].append(many[1])
    costs.reached.append(many[2] / one[2] if one[2] > _LEAST_COMMANDS else 1.0)


def _load(
    client: redis.Redis, server: Server, variant: Variant, connections: int, requests: int
) -> tuple[float, float, float]:
    """Requests a second, microseconds of CPU a request, and all commands that Redis ran a request."""
    count = requests if connections > 1 else requests // 2  # one at a time takes longer
    order = Order(
        port=server.port, path=PATH, pid=server.pid, connections=connections, warm_up=_WARM_UP, requests=count
    )
    before = _calls(client)
    result = Load(order).result()
    calls = (_calls(client) - before) / (count + _WARM_UP)
    if result.statuses != {variant.status: count}:
        raise VariantFailed(f"{dict(result.statuses)} instead of {variant.status}: {server.last_words()}")
    return count / result.elapsed, result.cpu_seconds / count * 1e6, calls


def _calls(client: redis.Redis) -> int:
    """Commands run so far, those of scripts included."""
    return sum(each["calls"] for each in client.info("commandstats").values())


def _count_commands(client: redis.Redis, server: Server, variant: Variant) -> float:
    """Commands that the process sends a request.

    By MONITOR and not by INFO commandstats, which count what a script calls inside Redis like what a client sends.
    """
    order = Order(port=server.port, path=PATH, pid=server.pid, connections=1, warm_up=0, requests=_COUNTED)
    with client.monitor() as monitor:
        client.echo(_BEGIN_MARK)  # connects, which are commands too
        Load(order).result()
        client.echo(_END_MARK)
        sent = 0
        for command in monitor.listen():
            if _BEGIN_MARK in command["command"]:
                sent = 0
            elif _END_MARK in command["command"]:
                return sent / _COUNTED
            else:
                sent += command["client_type"] != "lua"
    return 0.0
