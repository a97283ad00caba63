"""What different servers do with HTTP, and the table of it in docs/servers.md.

    python -m tests.support.http_servers

prints the table as the installed servers fill it. ``observed`` is one column, ``documented`` the page's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.socket_servers import SocketServer, serving
from tests.support.waiting import until
from tools.docs import ROOT

APP: Final = "tests.live.http_app:guarded_app"
COLUMNS: Final = {
    "uvicorn": "uvicorn",
    "gunicorn": "gunicorn (uvicorn-worker)",
    "gunicorn-asgi": "gunicorn (asgi)",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "daphne": "daphne",
}
SERVERS: Final = tuple(COLUMNS)
HEAD: Final = "what happens"
_LONGEST_SECONDS: Final = 30.0
_GOES_ON: Final = "goes on until it is killed"
_STOP_SECONDS: Final = 8.0
"""Longer than each server is told to wait for what is at work."""
_JSON: Final = "Content-Type: application/json\r\n"
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS: Final = 4

Look = Callable[[SocketServer], Awaitable[str]]


def seen(server: SocketServer) -> dict[str, Any]:
    """What the app has seen so far."""
    return httpx.get(f"{server.url}/seen", timeout=20, trust_env=False).raise_for_status().json()


def _query(document: str) -> bytes:
    return json.dumps({"query": document}).encode()


def _post(body: bytes, *lines: str, length: bool = True) -> bytes:
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\n{_JSON}"
    head += f"Content-Length: {len(body)}\r\n" * length + "".join(f"{line}\r\n" for line in lines)
    return head.encode() + b"\r\n" + body


async def _opened(server: SocketServer, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    return reader, writer


async def _said(reader: asyncio.StreamReader) -> str:
    """The status and code of an answer; whether its connection ends without one."""
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else await reader.read(65536)
    except (asyncio.IncompleteReadError, ConnectionError):
        return "no answer"
    code = re.search(rb'"code": ?"(\w+)"', body)
    return f"HTTP {head.split(b' ', 2)[1].decode()} {code[1].decode() if code else ''}".rstrip()


async def _asked(server: SocketServer, sent: bytes) -> str:
    reader, writer = await _opened(server, sent)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    try:
        return await _said(reader)
    finally:
        writer.close()


async def _a_client_leaves(server: SocketServer) -> str:
    before = await asyncio.to_thread(seen, server)
    _, writer = await _opened(server, _post(_query("{ slow }")))
    await until(lambda: seen(server)["begun"] == before["begun"] + 1)
    writer.close()
    await until(lambda: seen(server)["cancelled"] == before["cancelled"] + 1)
    return "the app is cancelled"


async def _a_body_without_a_length(server: SocketServer) -> str:
    chunk = b"10000\r\n" + b"#" * 0x10000 + b"\r\n"
    return await _asked(server, _post(chunk * 20 + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False))


async def _two_lengths(server: SocketServer) -> str:
    return await _asked(server, _post(_query("{ me }"), "Content-Length: 3"))


async def _a_length_and_chunks(server: SocketServer) -> str:
    """Whether what follows the chunks can be taken for another request."""
    begun = (await asyncio.to_thread(seen, server))["begun"]
    body = _query("{ me }")
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    answer = await _asked(server, _post(chunked, "Transfer-Encoding: chunked"))
    ran = (await asyncio.to_thread(seen, server))["begun"] - begun
    return answer if not ran else f"{answer}, run {'once' if ran == 1 else f'{ran} times'}"


async def _a_long_head(server: SocketServer) -> str:
    return await _asked(server, _post(_query("{ me }"), *(f"X-{number}: {'x' * 8000}" for number in range(32))))


async def _http2(server: SocketServer) -> str:
    reader, writer = await _opened(server, _PREFACE)
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            frame = await reader.read(9)
    finally:
        writer.close()
    return "yes" if len(frame) > 3 and frame[3] == _SETTINGS and not frame.startswith(b"HTTP") else "no"


async def _lifespan(server: SocketServer) -> str:
    return "yes" if (await asyncio.to_thread(seen, server))["lifespan"] else "no"


async def _peer(server: SocketServer) -> str:
    await _asked(server, _post(_query("{ me }"), "X-Forwarded-For: 203.0.113.99"))
    (peer,) = (await asyncio.to_thread(seen, server))["peers"][-1:]
    return "the peer" if peer == "127.0.0.1" else peer


async def _stopped(server: SocketServer) -> dict[str, str]:
    """What becomes of a request and of a stream at work when the server is told to end."""
    begun = (await asyncio.to_thread(seen, server))["begun"]
    request, first = await _opened(server, _post(_query("{ brief }")))
    stream, second = await _opened(server, _post(_query("subscription { events }"), "Accept: text/event-stream"))
    await until(lambda: seen(server)["begun"] == begun + 2)
    os.kill(server.pid, signal.SIGTERM)
    answered, ended = await asyncio.gather(_said(request), _how_it_ended(stream))
    first.close()
    second.close()
    if ended == _GOES_ON:
        os.killpg(server.pid, signal.SIGKILL)  # its own group, which we have started
    return dict(zip(LAST_ROWS, ("is answered" if answered == "HTTP 200" else "is cut", ended), strict=True))


async def _how_it_ended(reader: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            told = await reader.read()
    except ConnectionError:
        return "is cut"
    except TimeoutError:
        return _GOES_ON
    return "ends" if told.endswith(b"0\r\n\r\n") else "is cut"


ROWS: Final[dict[str, Look]] = {
    "the client of a query leaves": _a_client_leaves,
    "a body over the limit, of a length that is not announced": _a_body_without_a_length,
    "two `Content-Length`s that differ": _two_lengths,
    "`Content-Length` beside `Transfer-Encoding`": _a_length_and_chunks,
    "a head of 256 KiB": _a_long_head,
    "HTTP/2 without TLS": _http2,
    "the app's lifespan is run": _lifespan,
    "`X-Forwarded-For` of a local client: the app sees": _peer,
}
LAST_ROWS: Final = ("SIGTERM: a request at work", "SIGTERM: a stream")


def _cells(line: str) -> Sequence[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]


def documented(column: str) -> dict[str, str]:
    """A column of the page's table, by row."""
    lines = (ROOT / "docs/servers.md").read_text("utf-8").splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith(f"| {HEAD} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[head + 2 :])
    return {cells[0]: cells[_cells(lines[head]).index(column)] for cells in map(_cells, rows)}


async def observed(name: str, folder: Path) -> dict[str, str]:
    """What a server does, by row."""
    environment = {
        "FRAISEQL_RATE_LIMIT_DEFAULT": "1000000/minute",
        "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log"),
    }
    with serving(name, APP, folder, environment) as server:
        found = {row: await look(server) for row, look in ROWS.items()}
        return {**found, **await _stopped(server)}


def table(columns: dict[str, dict[str, str]]) -> str:
    """The table of the page, from a column of each server."""
    heads = [COLUMNS[name] for name in columns]
    lines = [f"| {HEAD} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(columns[name][row] for name in columns)} |" for row in (*ROWS, *LAST_ROWS)]
    return "\n".join(lines)


async def _print() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(table({name: await observed(name, Path(folder)) for name in SERVERS}) + "\n")


if __name__ == "__main__":
    asyncio.run(_print())
