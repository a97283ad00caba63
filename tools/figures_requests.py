"""Which files of the package a request enters: real requests through a guard in this process, followed by a profiler.

The store is the process's memory, or a Redis. What a request leaves behind to be counted a moment later is a part of
it; what other tasks of the guard do meanwhile (polling, gauges) is none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from fraiseql_guard import Guard
from fraiseql_guard.testing import make_token

_SECRET: Final = "a-secret-for-figures-of-32-bytes-or-more"  # noqa: S105 - protects nothing
_PLENTY: Final = "900000000/minute"
_AGAIN: Final = 20
"""So many requests of a kind come before one that counts as usual."""
_GUARDS: Final = 3
_FOLLOWED: Final = 8
_ADDRESSES: Final = count(1)
_LEFT_BEHIND_SECONDS: Final = 0.3
"""What a request leaves behind is told before: a timer that is set earlier rings earlier."""
_DOCUMENT: Final = "query Posts($n: Int) { posts(limit: $n) { id title author { id name } } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Requests of one kind: ``status`` is how they end. ``tier``: with a token that names one. ``limit`` is the
    guard's; the request before the first of the kind uses one up."""

    status: int = 200
    graphql: bool = False
    tier: bool = False
    limit: str = _PLENTY


KINDS: Final = {
    "plain": Kind(),
    "GraphQL": Kind(graphql=True),
    "refused by the limiter": Kind(status=429, limit="1/hour"),
    "with a tier": Kind(graphql=True, tier=True),
}


async def files_entered(kind: Kind, package: Path, *, redis_url: str | None = None) -> tuple[set[str], set[str]]:
    """Files that the first request of a kind enters, and a later one. RuntimeError if one ends otherwise.

    Each is followed several times, and the one that entered most counts: of the others a task of the guard's own has
    counted what they left behind, or the log had no more lines in that second.
    """
    firsts: list[set[str]] = []
    usual: list[set[str]] = []
    for guards in range(_GUARDS):
        client = _Client(_guard(kind, redis_url), kind)
        try:
            await client.request("/other")  # what a guard does once is no request's
            await asyncio.sleep(_LEFT_BEHIND_SECONDS)
            firsts.append(await _followed(client, package))
            for _ in range(_FOLLOWED if guards == 0 else 0):
                for _ in range(_AGAIN):
                    await client.expect()
                usual.append(await _followed(client, package))
        finally:
            await client.guard.aclose()
    return max(firsts, key=len), max(usual, key=len)


def _guard(kind: Kind, redis_url: str | None) -> Any:
    options: dict[str, Any] = {"redis_url": redis_url} if redis_url else {}
    return Guard(
        _app,
        jwt_secret=_SECRET,
        auth_required=False,
        rate_limit_default=kind.limit,
        rate_limit_authenticated=_PLENTY,
        rate_limit_burst=0,
        rate_limit_abuse_offences=1_000_000,
        tiers=f"pro={_PLENTY}",
        log_file=os.devnull,
        **options,
    )


async def _followed(client: _Client, package: Path) -> set[str]:
    with entered(package) as files:
        await client.expect()
        await asyncio.sleep(_LEFT_BEHIND_SECONDS)
    return files


@contextmanager
def entered(package: Path) -> Iterator[set[str]]:
    """Collect the package's files that have a function called, by other tasks than those that run already."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    codes: set[CodeType] = set()
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in codes and asyncio.current_task() not in others:
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(before)
        paths = [Path(code.co_filename) for code in codes if code.co_name != "<module>"]
        files |= {str(path.relative_to(package)) for path in paths if path.is_relative_to(package)}


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body and answers."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"11")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"data":{}}'})


class _Client:
    """Asks a guard for the same kind again and again, from an address of its own."""

    def __init__(self, guard: Any, kind: Kind) -> None:
        self.guard = guard
        self._kind = kind
        self._address = f"203.0.113.{next(_ADDRESSES) % 256}"
        self._numbers = count(1)

    async def expect(self) -> None:
        """A request of the kind. RuntimeError if it ends otherwise."""
        status = await self.request("/graphql" if self._kind.graphql else "/page")
        if status != self._kind.status:
            raise RuntimeError(f"a request was answered {status} instead of {self._kind.status}")

    async def request(self, path: str) -> int:
        """The status of one request."""
        asks = path == "/graphql"
        variables = {"n": 10, "number": next(self._numbers)}
        body = json.dumps({"query": _DOCUMENT, "variables": variables}).encode() if asks else b""
        headers = [(b"host", b"api.example.org"), (b"user-agent", b"Mozilla/5.0")]
        if asks:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self._kind.tier:
            headers.append((b"authorization", b"Bearer " + _TOKEN.encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
            "method": "POST" if asks else "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "client": (self._address, 40_000), "server": ("127.0.0.1", 80), "headers": headers,
        }  # fmt: skip
        return await _status(self.guard, scope, body)


async def _status(app: Any, scope: Any, body: bytes) -> int:
    statuses: list[int] = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        for message in messages:
            return message
        return await asyncio.get_running_loop().create_future()  # the client stays

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0] if statuses else 0


_TOKEN: Final = make_token(_SECRET, sub="alice", tier="pro")
