"""Hundreds of sockets and streams beside plain requests, while workers are killed and Redis is restarted.

Two workers share a Redis. Clients come over both subprotocols and server-sent events, subscribe, ask, break off in the
middle, and come back; every ten seconds a worker is killed and replaced, once in the run Redis is restarted empty. In
the end all clients leave, and nothing of theirs may be left: no socket, subscription, slot, task or generator in any
worker, no key in Redis that does not expire, no memory beyond what a worker has after its first seconds. Prints its
figures; ends with 1 if something is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import redis

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.testing import make_token, samples_of
from tests.support.redis_server import RedisServer
from tests.support.socket_client import ClosedError, L, RefusedError, T, connected
from tests.support.socket_servers import GUARDED_STRAWBERRY, SocketServer, serving
from tests.support.sse_client import streamed

WORKERS: Final = 2
SOCKETS: Final = 500
SECRET: Final = "a-secret-for-benchmarks-of-32-bytes-or-more"
KILL_EVERY_SECONDS: Final = 10.0
_USERS: Final = 100
_STREAMS: Final = 20
_ASKERS: Final = 10
_LOOKS: Final = 15
"""How often it is looked, once a second, whether something is left."""
MOST_GROWTH_BYTES: Final = 25_000_000
"""What a worker may have more resident than after its first seconds, once all clients have left: buffers of the
allocator and caches that have filled, for hundreds of sockets that came and went."""
_GAUGES: Final = ("fraiseql_guard_sockets", "fraiseql_guard_subscriptions", "fraiseql_guard_in_flight")
_PLENTY: Final = {
    name_of("rate_limit_default"): "1000000/minute",
    name_of("rate_limit_authenticated"): "1000000/minute",
    name_of("rate_limit_sockets"): "1000000/minute",
    name_of("max_sockets_per_caller"): "1000",
    name_of("max_subscriptions_per_caller"): "1000",
    name_of("max_in_flight"): "1000",
    name_of("store_timeout_ms"): "500",
    name_of("access_log"): "off",
    name_of("log_level"): "error",
}
"""The soak is about what is left, not about limits."""


class RefusedOperationError(Exception):
    """An operation was refused, with this code."""


@dataclass(slots=True)
class Tally:
    """What the clients have seen."""

    connects: int = 0
    operations: int = 0
    events: int = 0
    requests: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Operations and requests that were answered."""
        return self.operations + self.requests


class Fleet:
    """The workers, of which one is killed now and then, and their Redis."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stacks: list[ExitStack] = []
        self.workers: list[SocketServer] = []
        self.first_rss: dict[int, int] = {}
        self.kills = 0

    def __enter__(self) -> Fleet:
        self._redis_stack = ExitStack()
        self.redis = self._redis_stack.enter_context(RedisServer())
        self._environment = {**_PLENTY, name_of("jwt_secret"): SECRET, name_of("redis_url"): self.redis.url}
        for _ in range(WORKERS):
            self._start()
        return self

    def __exit__(self, *reason: object) -> None:
        for stack in self._stacks:
            stack.close()
        self._redis_stack.close()

    def _start(self) -> None:
        stack = ExitStack()
        self.workers.append(
            stack.enter_context(serving("uvicorn", GUARDED_STRAWBERRY, self._folder, self._environment))
        )
        self._stacks.append(stack)

    def replace(self) -> None:
        """Kill a worker, as the kernel does that is short of memory, and start another."""
        index = random.randrange(len(self.workers))
        worker, stack = self.workers.pop(index), self._stacks.pop(index)
        os.kill(worker.pid, signal.SIGKILL)
        stack.close()
        self.kills += 1
        self._start()

    def any(self) -> SocketServer:
        """One of them, as a load balancer would choose."""
        return random.choice(self.workers)

    def note_memory(self) -> None:
        """Remember what each worker that is new has resident now."""
        for worker in self.workers:
            if worker.pid not in self.first_rss:
                self.first_rss[worker.pid] = worker.probe()["rss_bytes"]

    def left(self) -> list[str]:
        """What is left of clients who have all gone; a sentence each."""
        found = []
        for worker in self.workers:
            try:
                told, gauges = worker.probe(), _gauges(worker)
            except httpx.HTTPError as error:
                found.append(f"worker {worker.pid}: does not answer ({type(error).__name__})")
                continue
            found += [f"worker {worker.pid}: {name} is {value:g}" for name, value in gauges.items() if value]
            at_work = {name: begun - told["ended"].get(name, 0) for name, begun in told["begun"].items()}
            found += [f"worker {worker.pid}: {count} generators of {name}" for name, count in at_work.items() if count]
            if told["sockets"]:
                found.append(f"worker {worker.pid}: the app has {told['sockets']} sockets")
        return found

    def forgotten_keys(self) -> list[str]:
        """Keys in Redis that never expire."""
        with redis.Redis(port=self.redis.port) as client:
            return [key.decode() for key in client.scan_iter(count=1000) if client.ttl(key) == -1]


def _gauges(worker: SocketServer) -> Mapping[str, float]:
    text = httpx.get(f"{worker.url}/metrics", timeout=20, trust_env=False).raise_for_status().text
    samples = samples_of(text)
    return {name: sum(sample.value for sample in samples.get(name, ())) for name in _GAUGES}


# --- clients ---------------------------------------------------------------------------------------------------------


class Clients:
    """Everybody who uses the fleet, until they are told to leave."""

    def __init__(self, fleet: Fleet, sockets: int) -> None:
        self._fleet = fleet
        self._sockets = sockets
        self._tokens = [make_token(SECRET, sub=f"user-{number}", expires_in_seconds=7200) for number in range(_USERS)]
        self._tasks: list[asyncio.Task[None]] = []
        self.tally = Tally()

    def begin(self) -> None:
        """Have them all come."""
        for number in range(self._sockets):
            self._tasks.append(asyncio.create_task(self._live(self._socket, number)))
        for number in range(_STREAMS):
            self._tasks.append(asyncio.create_task(self._live(self._stream, number)))
        for number in range(_ASKERS):
            self._tasks.append(asyncio.create_task(self._live(self._ask, number)))

    async def leave(self) -> None:
        """Have them all go, in the middle of whatever they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self, session: Any, number: int) -> None:
        while True:
            try:
                await session(number)
            except (ClosedError, RefusedError) as end:
                self.tally.broken[str(getattr(end, "code", end))] += 1
            except RefusedOperationError as refusal:
                self.tally.broken[str(refusal)] += 1
            except (OSError, EOFError, TimeoutError, httpx.HTTPError) as error:
                self.tally.broken[type(error).__name__] += 1
            await asyncio.sleep(random.uniform(0.2, 1.0))

    async def _socket(self, number: int) -> None:
        """One socket from its opening to its end, which is as often rude as it is polite."""
        url, token = self._fleet.any().ws(), self._tokens[number % _USERS]
        async with connected(url, protocols=(random.choice((T, L)),)) as socket:
            await socket.init({"authorization": f"Bearer {token}"})
            self.tally.connects += 1
            for turn in range(random.randint(2, 8)):
                await self._operate(socket, str(turn))
            if random.random() < 0.5:
                socket.abort()

    async def _operate(self, socket: Any, name: str) -> None:
        # The app takes subscriptions alone over the legacy protocol.
        kind = random.random() if socket.protocol == T else random.uniform(0.0, 0.5)
        if kind < 0.5:
            await socket.subscribe(name, "subscription { ticks(interval: 0.5) }")
            for _ in range(random.randint(1, 4)):
                await self._event(socket, name)
                self.tally.events += 1
            if kind < 0.4:
                await socket.complete(name)
        elif kind < 0.9:
            await socket.subscribe(name, "{ me { id } }")
            await self._event(socket, name)
        else:
            await socket.subscribe(name, "{ slow(seconds: 0.3) }")
            if kind < 0.95:
                await socket.complete(name)
        self.tally.operations += 1

    @staticmethod
    async def _event(socket: Any, name: str) -> None:
        """The next message of an operation; those of others that have just ended may come in between."""
        while (message := await socket.receive()).get("id") != name or message["type"] not in ("next", "data"):
            if message.get("id") == name and message["type"] == "error":
                raise RefusedOperationError(_code_of(message["payload"]))

    async def _stream(self, number: int) -> None:
        headers = {"authorization": f"Bearer {self._tokens[number % _USERS]}"}
        query = "subscription { ticks(interval: 0.5) }"
        async with streamed(f"{self._fleet.any().url}/graphql", query, headers=headers) as stream:
            for _ in range(random.randint(2, 6)):
                await stream.next()
                self.tally.events += 1
            self.tally.operations += 1

    async def _ask(self, number: int) -> None:
        headers = {"authorization": f"Bearer {self._tokens[number % _USERS]}"}
        async with _client() as client:
            for _ in range(50):
                url = f"{self._fleet.any().url}/graphql"
                answer = await client.post(url, json={"query": "{ me { id } }"}, headers=headers)
                if answer.status_code != 200:
                    self.tally.broken[f"HTTP {answer.status_code}"] += 1
                self.tally.requests += 1
                await asyncio.sleep(0.1)


def _code_of(payload: Any) -> str:
    error = payload[0] if isinstance(payload, list) else payload
    return str(error.get("extensions", {}).get("code", "error"))


@asynccontextmanager
async def _client() -> Any:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        yield client


# --- the run ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run has brought. ``left`` of clients who have gone is empty, and ``overgrown`` false, if all is well."""

    seconds: float
    tally: Tally
    kills: int
    growth_bytes: Mapping[int, int]
    left: tuple[str, ...]

    @property
    def overgrown(self) -> bool:
        """Whether a worker holds much more than after its first seconds."""
        return any(grown > MOST_GROWTH_BYTES for grown in self.growth_bytes.values())

    def as_json(self) -> dict[str, Any]:
        """All of it, to be printed."""
        tally = self.tally
        return {
            "seconds": round(self.seconds, 1),
            "sockets_opened": tally.connects,
            "operations": tally.operations,
            "events": tally.events,
            "requests": tally.requests,
            "workers_killed": self.kills,
            "ended_otherwise": dict(tally.broken.most_common()),
            "growth_mib_by_worker": {pid: round(grown / 2**20, 1) for pid, grown in self.growth_bytes.items()},
            "overgrown": self.overgrown,
            "left": list(self.left),
        }


async def soak(seconds: float, sockets: int = SOCKETS) -> Report:
    """Run for so long, and tell what is left in the end."""
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fraiseql-guard-soak-") as folder, Fleet(Path(folder)) as fleet:
        clients = Clients(fleet, sockets)
        clients.begin()
        try:
            await _disturb(fleet, seconds)
        finally:
            await clients.leave()
        left = await _settled(fleet)
        await asyncio.to_thread(fleet.note_memory)
        growth = {worker.pid: worker.probe()["rss_bytes"] - fleet.first_rss[worker.pid] for worker in fleet.workers}
        left += [f"Redis: {key} never expires" for key in await asyncio.to_thread(fleet.forgotten_keys)]
        return Report(
            seconds=time.monotonic() - began_at,
            tally=clients.tally,
            kills=fleet.kills,
            growth_bytes=growth,
            left=tuple(left),
        )


async def _disturb(fleet: Fleet, seconds: float) -> None:
    """Kill a worker every ten seconds, and restart Redis in the middle."""
    ends_at, redis_at = time.monotonic() + seconds, time.monotonic() + seconds / 2
    while (now := time.monotonic()) < ends_at:
        await asyncio.sleep(min(KILL_EVERY_SECONDS, ends_at - now))
        with suppress(httpx.HTTPError):
            await asyncio.to_thread(fleet.note_memory)
        if redis_at and time.monotonic() >= redis_at:
            redis_at = 0.0
            await asyncio.to_thread(fleet.redis.restart)
        elif time.monotonic() + KILL_EVERY_SECONDS < ends_at:  # the last workers live to be looked at
            await asyncio.to_thread(fleet.replace)


async def _settled(fleet: Fleet) -> list[str]:
    """What is left once everything has had its time to end."""
    left: list[str] = []
    for _ in range(_LOOKS):
        left = await asyncio.to_thread(fleet.left)
        if not left:
            break
        await asyncio.sleep(1.0)
    return left


def main() -> int:
    """Print the report as JSON; 1 if something is left, or a worker has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    options = parser.parse_args()
    report = asyncio.run(soak(options.seconds, options.sockets))
    print(json.dumps(report.as_json(), indent=2))
    return 1 if report.left or report.overgrown else 0


if __name__ == "__main__":
    sys.exit(main())
