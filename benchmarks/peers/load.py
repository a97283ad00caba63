"""The load, in a process of its own: ``python -m benchmarks.peers.load`` with an order as JSON on stdin.

Plain sockets and a selector: a client that costs less than what it measures. Each connection has one request under
way and sends the next when it was answered. Prints a Result as JSON.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from benchmarks.peers.clock import cpu_seconds
from benchmarks.peers.serve import end_with_parent

_SILENT_SECONDS = 30.0
"""An answer that takes longer is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """So many requests after a warm-up, or for so many seconds; ``pause`` lies between two of one connection."""

    port: int
    path: str
    pid: int
    connections: int
    warm_up: int = 0
    requests: int = 0
    seconds: float = 0.0
    pause: float = 0.0


@dataclass(slots=True)
class Result:
    """What came back. ``samples`` (begun, took, status) only of a load by time; status 0: no answer."""

    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    samples: list[tuple[float, float, int]] = field(default_factory=list)


class _Connection:
    """A socket with at most one request under way."""

    def __init__(self, port: int, question: bytes) -> None:
        self._port, self._question = port, question
        self._received = b""
        self.began = 0.0
        self.asked = False
        self.closing = False
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def ask(self) -> None:
        self.asked = True
        self.began = time.monotonic()
        with contextlib.suppress(OSError):  # reading tells
            self.socket.send(self._question)

    def read(self) -> int | None:
        """The status, if the answer is complete; 0 if it will never be."""
        try:
            data = self.socket.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return 0
        if not data:
            return 0
        answer = self._received = self._received + data if self._received else data
        head_ends = answer.find(b"\r\n\r\n")
        if head_ends < 0:
            return None
        head = answer[:head_ends].lower()
        _, named, rest = head.partition(b"content-length:")
        if len(answer) < head_ends + 4 + (int(rest.partition(b"\r\n")[0]) if named else 0):
            return None
        self._received = b""
        self.closing = b"connection: close" in head
        return int(answer[9:12])

    def reopen(self) -> None:
        self.socket.close()
        self._received, self.closing = b"", False
        self._open()


class _Load:
    """All connections of an order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._selector = selectors.DefaultSelector()
        question = f"GET {order.path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        self._idle: deque[_Connection] = deque(_Connection(order.port, question) for _ in range(order.connections))
        for connection in self._idle:
            self._watch(connection)

    def count(self, requests: int) -> Result:
        """So many requests, as fast as they are answered."""
        result, sent = Result(), 0
        cpu, began = cpu_seconds(self._order.pid), time.monotonic()
        while sent < requests or len(self._idle) < self._order.connections:
            while self._idle and sent < requests:
                self._idle.popleft().ask()
                sent += 1
            for connection, status in self._answers(_SILENT_SECONDS):
                result.statuses[status] = result.statuses.get(status, 0) + 1
                self._idle.append(connection)
        result.elapsed, result.cpu_seconds = time.monotonic() - began, cpu_seconds(self._order.pid) - cpu
        return result

    def last(self, seconds: float) -> Result:
        """Requests for so long, and the answers of those under way then."""
        result, began = Result(), time.monotonic()
        resting: deque[tuple[float, _Connection]] = deque((began, connection) for connection in self._idle)
        until, under_way = began + seconds, 0
        while under_way or time.monotonic() < until:
            now = time.monotonic()
            while resting and resting[0][0] <= now < until:
                resting.popleft()[1].ask()
                under_way += 1
            for connection, status in self._answers(self._order.pause or 0.01, patient=now < until + _SILENT_SECONDS):
                under_way -= 1
                ended = time.monotonic()
                result.statuses[status] = result.statuses.get(status, 0) + 1
                result.samples.append((connection.began, ended - connection.began, status))
                resting.append((ended + self._order.pause, connection))
        result.elapsed = time.monotonic() - began
        return result

    def _answers(self, seconds: float, *, patient: bool = False) -> list[tuple[_Connection, int]]:
        answered: list[tuple[_Connection, int]] = []
        ready = self._selector.select(seconds)
        if not ready and not patient:
            raise SystemExit("the server no longer answers")
        for key, _ in ready:
            connection: _Connection = key.data
            status = connection.read()
            if status is None:
                continue
            if status == 0 or connection.closing:
                self._selector.unregister(connection.socket)
                connection.reopen()
                self._watch(connection)
            if connection.asked:
                connection.asked = False
                answered.append((connection, status))
        return answered

    def _watch(self, connection: _Connection) -> None:
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)


def main() -> None:
    """Do as ordered."""
    end_with_parent()
    order = Order(**json.loads(sys.stdin.read()))
    load = _Load(order)
    if order.warm_up:
        load.count(order.warm_up)
    print(json.dumps(asdict(load.last(order.seconds) if order.seconds else load.count(order.requests))))


if __name__ == "__main__":
    main()
