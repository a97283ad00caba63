"""The processes of the scale benchmark: workers on one Redis or on a cluster, the load, and what Redis is asked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import hiredis
import redis

from benchmarks.peers.clock import cpu_seconds
from benchmarks.peers.environment import ROOT, python
from benchmarks.scale_load import Order, Seen
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

PLENTY: Final = "900000000/minute"
"""A rate that no caller reaches."""
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 5.0
_LINE: Final = re.compile(rb"\+[\d.]+ \[\d+ ([^\]]+)\] (.*)")
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Store:
    """Where workers decide: its name, its URL, and the servers of its nodes."""

    name: str
    url: str
    nodes: tuple[RedisServer, ...]

    def pids(self) -> list[int]:
        """The processes of the nodes."""
        return [int(self._info(node, "server")["process_id"]) for node in self.nodes]

    def flush(self) -> None:
        """Empty all nodes."""
        for node in self.nodes:
            node.flush()

    def _info(self, node: RedisServer, section: str) -> Mapping[str, Any]:
        with redis.Redis(port=node.port) as client:
            found: Mapping[str, Any] = client.info(section)
            return found


@contextmanager
def stores(nodes: int) -> Iterator[tuple[Store, Store]]:
    """One Redis, and a cluster of so many nodes."""
    with RedisServer() as server, RedisCluster(nodes=nodes) as cluster:
        yield (
            Store("one Redis", server.url, (server,)),
            Store(f"cluster of {nodes}", cluster.url, tuple(cluster.nodes)),
        )


class _Process:
    """A module of ours, spoken to in lines."""

    def __init__(self, module: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [str(python()), "-m", module],
            cwd=ROOT,
            # Nothing of the caller's environment configures the guard.
            env={"PYTHONPATH": str(ROOT), "PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def say(self, what: object) -> None:
        """An order, as a line of JSON."""
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # then there is no answer either
                stdin.write(json.dumps(what).encode() + b"\n")
                stdin.flush()

    def line(self, seconds: float) -> bytes:
        """Its next line; an error with its last words if there is none in time."""
        stdout = self._process.stdout
        if stdout is not None and select.select([stdout], [], [], seconds)[0] and (line := stdout.readline()):
            return line
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no error was written"]
        raise SystemExit(f"a process of the benchmark does not answer: {words[0]}")

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


class Fleet:
    """Workers on one store. A decision that the store did not make would be a 503, so that none is counted."""

    def __init__(self, store: Store, workers: int, **options: Any) -> None:
        self.store = store
        self._count = workers
        self._options = {"redis_url": store.url, "on_store_failure": "closed", "store_timeout_ms": 10_000, **options}
        self._open = ExitStack()
        self.ports: list[int] = []
        self.pids: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            processes = []
            for _ in range(self._count):
                process = _Process("benchmarks.scale_server")
                opened.callback(process.end)
                process.say(self._options)
                processes.append(process)
            self.ports = [int(process.line(_START_SECONDS)) for process in processes]
            self.pids = [process.pid for process in processes]
            for port in self.ports:
                _wait_until_listening(port)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *reason: object) -> None:
        self._open.close()


class Load:
    """The load's process: starts on entering, ends on leaving."""

    def __enter__(self) -> Self:
        self._process = _Process("benchmarks.scale_load")
        return self

    def __exit__(self, *reason: object) -> None:
        self._process.end()

    def carry_out(self, order: Order, *, seconds: float = 300.0) -> Seen:
        """One order."""
        self._process.say(asdict(order))
        seen = Seen(**json.loads(self._process.line(seconds)))
        # JSON's keys are text.
        seen.statuses, seen.admitted = _numbered(seen.statuses), _numbered(seen.admitted)
        seen.cpu_seconds = _numbered(seen.cpu_seconds)
        return seen


class Monitor:
    """Everything that clients send to the nodes of a store, while this is open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._sockets = []
        for node in self._store.nodes:
            connection = self._open.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=30))
            connection.sendall(b"MONITOR\r\n")
            if not connection.recv(5).startswith(b"+OK"):
                raise SystemExit("Redis does not tell what it is asked")
            self._sockets.append(connection)
        return self

    def __exit__(self, *reason: object) -> None:
        self._open.close()

    def commands(self) -> list[list[tuple[bytes, ...]]]:
        """By node, in their order: those of clients, not those of scripts."""
        return [
            list(self._until_mark(connection, node))
            for connection, node in zip(self._sockets, self._store.nodes, strict=True)
        ]

    def _until_mark(self, connection: socket.socket, node: RedisServer) -> Iterator[tuple[bytes, ...]]:
        mark = b"the end of the benchmark's watch"
        node.ask("ECHO", mark.decode())
        with connection.makefile("rb") as lines:
            for line in lines:
                matched = _LINE.match(line)
                if matched is None or matched[1] == b"lua":
                    continue
                words = tuple(_unescaped(word) for word in _WORD.findall(matched[2]))
                if mark in words:
                    return
                yield words


def _unescaped(word: bytes) -> bytes:
    """As it was sent: MONITOR escapes quotes, backslashes, and what cannot be printed."""
    return (
        word.decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1") if b"\\" in word else word
    )


def decisions_of(commands: Sequence[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    """Those that decide about requests: calls of the one script that most calls are of."""
    scripts = [words[1] for words in commands if words[0].upper() == b"EVALSHA"]
    admit = max(set(scripts), key=scripts.count, default=b"")
    return [words for words in commands if words[0].upper() == b"EVALSHA" and words[1] == admit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Decisions that a node was asked for again: seconds of its CPU and of the clock for each, and how often it read a
    connection and woke up for each."""

    cpu_seconds: float
    seconds: float
    reads: float
    wakes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How decisions are asked for again: so many in one write of each of so many connections, all at once, and a pause
    before the next."""

    connections: int
    together: int
    pause_seconds: float = 0.0


def replay(node: RedisServer, pid: int, decisions: Sequence[tuple[bytes, ...]], way: Way, *, count: int) -> Replayed:
    """Ask a node for about so many of the decisions that workers have asked it for, as fast as it answers: the client
    costs less than the node."""
    together = way.together
    packed = [hiredis.pack_command(words) for words in decisions]
    ring = [b"".join(packed[(first + step) % len(packed)] for step in range(together)) for first in range(len(packed))]
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=30))
            for _ in range(way.connections)
        ]
        for each in sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        readers = [hiredis.Reader() for _ in sockets]
        reads, wakes = _reads(node), _wakes(pid)
        cpu, began, done = cpu_seconds(pid), time.perf_counter(), 0
        for number in range(max(1, count // (way.connections * together))):
            until = time.perf_counter() + way.pause_seconds
            while way.pause_seconds and time.perf_counter() < until:
                pass  # as a worker between two requests: this core stays awake, and Redis falls asleep
            for place, connection in enumerate(sockets):
                connection.sendall(ring[(number * way.connections + place) * together % len(ring)])
            for connection, reader in zip(sockets, readers, strict=True):
                done += _read(connection, reader, together)
        elapsed, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
        wakes = _wakes(pid) - wakes
        return Replayed(
            cpu_seconds=cpu / done, seconds=elapsed / done, reads=(_reads(node) - reads) / done, wakes=wakes / done
        )


def _reads(node: RedisServer) -> int:
    """How often a node has read from a connection."""
    with redis.Redis(port=node.port) as client:
        return int(client.info("stats")["total_reads_processed"])


def _wakes(pid: int) -> int:
    """How often a process had nothing to do and slept."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def _read(connection: socket.socket, reader: hiredis.Reader, count: int) -> int:
    got = 0
    while got < count:
        reader.feed(connection.recv(262_144))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise SystemExit(f"Redis refuses what workers have sent it: {reply}")
            got += 1
    return got


def round_trip_seconds(node: RedisServer, count: int) -> list[float]:
    """Of the shortest command there is, one after the other."""
    times = []
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(b"PING\r\n")
            connection.recv(64)
            times.append(time.perf_counter() - began)
    return times


def idle_cpu_seconds(pids: Sequence[int], seconds: float) -> float:
    """What processes use together in a second in which there are no requests."""
    before = [cpu_seconds(pid) for pid in pids]
    began = time.perf_counter()
    time.sleep(seconds)
    return sum(cpu_seconds(pid) - old for pid, old in zip(pids, before, strict=True)) / (time.perf_counter() - began)


def redis_version(node: RedisServer) -> str:
    """What a node says."""
    with redis.Redis(port=node.port) as client:
        return str(client.info("server")["redis_version"])


def _numbered(found: Mapping[Any, Any]) -> dict[int, Any]:
    return {int(key): value for key, value in found.items()}


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit("a worker does not start") from None
            time.sleep(0.02)
        else:
            return
