"""The load of the scale benchmark, in a process of its own: many callers, spread evenly over the workers' ports.

``python -m benchmarks.scale_load`` carries out orders (lines of JSON on standard input) and answers each with a line:
what came back, and what CPU the processes of the order used meanwhile. Each connection has one request under way and
sends the next once it was answered (closed loop), so that the workers set the pace.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from benchmarks.peers.clock import cpu_seconds
from benchmarks.peers.serve import end_with_parent

_SILENT_SECONDS = 60.0
_DOCUMENT = "query Posts($n:Int){posts(limit:$n){id title author{id name} comments(limit:3){id body}}}"
_FIRST_NUMBER = 100_000_000
"""Every request brings a number that none had before, always of as many digits: none is known byte for byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """``requests`` after a warm-up, from ``callers`` in turns, over so many connections to each port. ``pids`` are the
    processes whose CPU is told."""

    ports: list[int]
    connections: int
    requests: int
    callers: int
    warm_up: int = 0
    pids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """What came back. ``admitted``: how many callers were answered 200 so often; CPU by process, and the load's own."""

    elapsed: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    admitted: dict[int, int] = field(default_factory=dict)
    p50_seconds: float = 0.0
    p99_seconds: float = 0.0
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    load_cpu_seconds: float = 0.0


def address_of(caller: int) -> str:
    """A public address of each caller's own, as the proxy in front of the workers would name it."""
    return f"51.{caller >> 16 & 255}.{caller >> 8 & 255}.{caller & 255}"


def questions(callers: int, first: int) -> Iterator[tuple[int, bytes]]:
    """Requests without an end, with the number of their caller."""
    body = json.dumps({"query": _DOCUMENT, "variables": {"n": 10, "unique": _FIRST_NUMBER}}).encode()
    before, after = body.split(b"%d" % _FIRST_NUMBER)
    fields = f"host: api.example.org\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    heads = [
        f"POST /graphql HTTP/1.1\r\n{fields}x-forwarded-for: {address_of(caller)}\r\n\r\n".encode() + before
        for caller in range(callers)
    ]
    number = _FIRST_NUMBER + first
    while True:
        caller = number % callers
        yield caller, heads[caller] + b"%d" % number + after
        number += 1


class _Connection:
    """A socket with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = b""
        self.caller = 0
        self.began = 0.0
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def ask(self, caller: int, question: bytes) -> None:
        self.caller, self.began = caller, time.perf_counter()
        self.socket.sendall(question)

    def read(self) -> int | None:
        """The status, once the answer is complete."""
        data = self.socket.recv(65_536)
        if not data:
            raise SystemExit("a worker closed a connection: the figures would be worthless")
        answer = self._received = self._received + data if self._received else data
        head_ends = answer.find(b"\r\n\r\n")
        if head_ends < 0:
            return None
        _, named, rest = answer[:head_ends].lower().partition(b"content-length:")
        if len(answer) < head_ends + 4 + (int(rest.partition(b"\r\n")[0]) if named else 0):
            return None
        self._received = b""
        return int(answer[9:12])


class _Load:
    """Connections to all ports, which stay open from order to order."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._by_port: dict[int, list[_Connection]] = {}
        self._sent = 0

    def carry_out(self, order: Order) -> Seen:
        idle = self._connections(order)
        if order.warm_up:
            self._count(idle, order, order.warm_up, [])
        seen, times = Seen(), list[float]()
        cpu, own, began = {pid: cpu_seconds(pid) for pid in order.pids}, time.process_time(), time.perf_counter()
        statuses, admitted = self._count(idle, order, order.requests, times)
        seen.elapsed, seen.load_cpu_seconds = time.perf_counter() - began, time.process_time() - own
        seen.cpu_seconds = {pid: cpu_seconds(pid) - before for pid, before in cpu.items()}
        seen.statuses = dict(statuses)
        seen.admitted = dict(Counter(admitted[caller] for caller in range(min(order.callers, order.requests))))
        times.sort()
        seen.p50_seconds, seen.p99_seconds = times[len(times) // 2], times[int(len(times) * 0.99)]
        return seen

    def _connections(self, order: Order) -> deque[_Connection]:
        """So many to each port, in turns."""
        for port in order.ports:
            known = self._by_port.setdefault(port, [])
            while len(known) < order.connections:
                connection = _Connection(port)
                self._selector.register(connection.socket, selectors.EVENT_READ, connection)
                known.append(connection)
        return deque(self._by_port[port][place] for place in range(order.connections) for port in order.ports)

    def _count(
        self, idle: deque[_Connection], order: Order, requests: int, times: list[float]
    ) -> tuple[Counter[int], Counter[int]]:
        statuses, admitted = Counter[int](), Counter[int]()
        asking, sent, total = questions(order.callers, self._sent), 0, len(idle)
        self._sent += requests
        while sent < requests or len(idle) < total:
            while idle and sent < requests:
                idle.popleft().ask(*next(asking))
                sent += 1
            ready = self._selector.select(_SILENT_SECONDS)
            if not ready:
                raise SystemExit("the workers no longer answer")
            for key, _ in ready:
                connection: _Connection = key.data
                status = None
                with contextlib.suppress(BlockingIOError):
                    status = connection.read()
                if status is None:
                    continue
                times.append(time.perf_counter() - connection.began)
                statuses[status] += 1
                admitted[connection.caller] += status == 200
                idle.append(connection)
        return statuses, admitted


def main() -> None:
    """Carry out orders until there are no more."""
    end_with_parent()
    load = _Load()
    for line in sys.stdin:
        print(json.dumps(asdict(load.carry_out(Order(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
