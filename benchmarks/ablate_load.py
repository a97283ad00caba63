"""Requests of the ablations: several connections at once, each with one request under way, over plain sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, Self

from benchmarks.ablate_server import LITTLE, PLENTY, SECRET
from benchmarks.ablations import AGAIN, NEW, PAGE, PAGE_TOKEN, REFUSED
from fraiseql_guard.testing import make_token

CONNECTIONS: Final = 16
_SILENT_SECONDS: Final = 30.0
_DOCUMENT: Final = "query Posts($n:Int){posts(limit:$n){id title author{id name} comments(limit:3){id body}}}"
_BROWSER: Final = (
    b"host: api.example.org\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64)\r\naccept: application/json\r\n"
    b"accept-language: en\r\naccept-encoding: gzip\r\n"
)
_NUMBERS: Final = count(100_000_001)


def _page(more: bytes = b"") -> bytes:
    return b"GET /page HTTP/1.1\r\n" + _BROWSER + more + b"\r\n"


def _operation(number: int) -> bytes:
    body = json.dumps({"query": _DOCUMENT, "variables": {"n": 10, "unique": number}}).encode()
    head = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return b"POST /graphql HTTP/1.1\r\n" + _BROWSER + head + body


@dataclass(frozen=True, slots=True)
class Asked:
    """One way of asking: the next request, how it is answered, and the limit of the guard for that."""

    next: Callable[[], bytes]
    status: int = 200
    limit: str = PLENTY


def asked() -> Mapping[str, Asked]:
    """All of them, by name."""
    page, again = _page(), _operation(100_000_000)
    token = _page(b"authorization: Bearer %b\r\n" % make_token(SECRET, sub="alice").encode())
    return {
        PAGE: Asked(lambda: page),
        PAGE_TOKEN: Asked(lambda: token),
        NEW: Asked(lambda: _operation(next(_NUMBERS))),
        AGAIN: Asked(lambda: again),
        REFUSED: Asked(lambda: page, status=429, limit=LITTLE),
    }


class Clients:
    """Connections to one server, opened on entering, closed on leaving."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(CONNECTIONS):
                one = socket.create_connection(("127.0.0.1", self._port), timeout=_SILENT_SECONDS)
                self._sockets.append(one)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        for one in self._sockets:
            one.close()

    def ask(self, how: Asked, requests: int, *, count_statuses: bool = True) -> None:
        """So many requests, one after the other on each connection. RuntimeError if one is answered otherwise."""
        for _ in range(max(1, requests // CONNECTIONS)):
            for one in self._sockets:
                one.sendall(how.next())
            for one in self._sockets:
                status = _answered(one)
                if count_statuses and status != how.status:
                    raise RuntimeError(f"a request was answered {status} instead of {how.status}")


def _answered(one: socket.socket) -> int:
    """The status of an answer, once it has come whole. ConnectionError if it does not come."""
    received = b""
    while True:
        if not (data := one.recv(65_536)):
            raise ConnectionError("a connection ended before its answer")
        received += data
        head, ended, body = received.partition(b"\r\n\r\n")
        if ended and len(body) >= _length(head):
            return int(head[9:12])


def _length(head: bytes) -> int:
    """RuntimeError where none is announced."""
    _, named, rest = head.lower().partition(b"content-length:")
    if not named:
        raise RuntimeError("an answer does not say how long it is")
    return int(rest.partition(b"\r\n")[0])
