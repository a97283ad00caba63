"""CPU per operation and event over a WebSocket, memory of idle sockets, delay of events beside a client that does not
read, and the moment at which a silent client is ended, on uvicorn, with and without the guard."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.flood import p99
from benchmarks.listeners import loopback
from benchmarks.results import Clock
from benchmarks.sockets_app import SEND_SECONDS

_ROOT: Final = Path(__file__).parent.parent
_TARGETS: Final = {
    "bare": ("benchmarks.sockets_app:bare", ()),
    "guarded": ("benchmarks.sockets_app:guarded", ("--factory",)),
}
_OPTIONS: Final = (
    *("--ws", "websockets-sansio", "--log-level", "warning", "--lifespan", "off"),
    *("--no-access-log", "--no-proxy-headers"),
)
_QUERY: Final = "query($n:Int){me{id name posts(limit:10){id title}}}"
_START_SECONDS: Final = 30.0
_OPERATIONS: Final = 4_000
_EVENTS: Final = 100_000
_SOCKETS: Final = 1_000
_ROUNDS: Final = 3
_READERS: Final = 20
_EVERY_SECONDS: Final = 0.01
_BIG_BYTES: Final = 65_536
_MUTE_SECONDS: Final = 12.0
_INIT_TIMEOUT: Final = 4408
_GOALS: Final = {
    "CPU µs an operation": "150 over bare",
    "CPU µs an event": "5 over bare",
    "KiB an idle socket": "25 in all",
    "ms an event beside": "50 in all",
    "s until a mute ends": "10.0 ± 0.2",
}


@contextmanager
def server(target: str) -> Iterator[tuple[psutil.Process, int]]:
    """uvicorn with one of the apps, on a free port."""
    name, options = _TARGETS[target]
    with loopback() as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", name, *options, "--port", str(port), *_OPTIONS],
            cwd=_ROOT,
            env={**os.environ, "FRAISEQL_GUARD_LOG_FILE": f"{folder}/guard.log", "PYTHONPATH": str(_ROOT)},
        )
        try:
            _wait(port)
            yield psutil.Process(process.pid), port
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("uvicorn does not start")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _connect(port: int, **options: Any) -> ClientConnection:
    return await connect(
        f"ws://127.0.0.1:{port}/graphql", subprotocols=["graphql-transport-ws"], compression=None, proxy=None,
        ping_interval=None, **options,
    )  # fmt: skip


async def _open(port: int, **options: Any) -> ClientConnection:
    connection = await _connect(port, **options)
    await connection.send('{"type":"connection_init"}')
    await connection.recv()
    return connection


async def _ask(connection: ClientConnection, number: int, results: int) -> None:
    document = _QUERY if results == 1 else _QUERY.replace("query", "subscription")
    payload = {"query": document, "variables": {"n": results}}
    await connection.send(json.dumps({"id": str(number), "type": "subscribe", "payload": payload}))
    while '"complete"' not in str(await connection.recv()):
        pass


async def _measure(process: psutil.Process, port: int, operations: int, results: int) -> float:
    """CPU microseconds of the server for one operation of so many results."""
    connection = await _open(port)
    for number in range(200 if results == 1 else 1):
        await _ask(connection, number, results)
    before = _cpu(process)
    for number in range(operations):
        await _ask(connection, 1_000 + number, results)
    spent = _cpu(process) - before
    await connection.close()
    return spent / operations * 1e6


async def _memory(process: psutil.Process, port: int) -> float:
    """KiB of the server for an idle socket."""
    async with AsyncExitStack() as stack:
        for _ in range(50):
            await stack.enter_async_context(await _open(port))
        before = process.memory_info().rss
        for _ in range(_SOCKETS):
            await stack.enter_async_context(await _open(port))
        return (process.memory_info().rss - before) / _SOCKETS / 1024


async def _delay(port: int) -> float:
    """Milliseconds that 99 of 100 events take at most to subscribers who read, while a client does not, and is ended
    where the guard ends it."""
    lazy = await _open(port, max_queue=1)
    lazy.transport.pause_reading()
    await _subscribe(lazy, every=0.0, size=_BIG_BYTES)
    readers = [await _open(port) for _ in range(_READERS)]
    taken: list[float] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * SEND_SECONDS):
            await asyncio.gather(*(_read(each, taken) for each in readers))
    for each in (lazy, *readers):
        each.transport.abort()
    return p99(taken)


async def _subscribe(connection: ClientConnection, *, every: float, size: int) -> None:
    document = "subscription($n:Int,$every:Float,$bytes:Int){me{id name posts(limit:10){id title}}}"
    payload = {"query": document, "variables": {"n": 0, "every": every, "bytes": size}}
    await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))


async def _read(connection: ClientConnection, taken: list[float]) -> None:
    await _subscribe(connection, every=_EVERY_SECONDS, size=0)
    while True:
        event = json.loads(await connection.recv())
        taken.append(time.monotonic() - event["payload"]["data"]["me"]["sent"])


async def _mute(port: int) -> float:
    """Seconds until a client that says nothing is ended; not a number if it is not."""
    connection, since = await _connect(port), time.monotonic()
    with suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(_MUTE_SECONDS):
            await connection.recv()
    connection.transport.abort()
    return time.monotonic() - since if connection.close_code == _INIT_TIMEOUT else math.nan


def _figures(target: str, rounds: int) -> dict[str, float]:
    with server(target) as (process, port):
        operation = min(asyncio.run(_measure(process, port, _OPERATIONS, 1)) for _ in range(rounds))
        events = 1_000
        event = min(asyncio.run(_measure(process, port, _EVENTS // events, events)) for _ in range(rounds)) / events
        memory = asyncio.run(_memory(process, port))
        figures = (operation, event, memory, asyncio.run(_delay(port)), asyncio.run(_mute(port)))
    return dict(zip(_GOALS, figures, strict=True))


def main() -> int:
    """Print the table; ``--json FILE`` writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sockets", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one round of CPU instead of three: under two minutes")
    parser.add_argument("--json", metavar="FILE")
    clock, options = Clock("sockets"), parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}")
    figures = {target: _figures(target, 1 if options.short else _ROUNDS) for target in _TARGETS}
    print(f"{'':24}{'bare':>10}{'guarded':>10}{'over bare':>12}   goal")
    for name, bare in figures["bare"].items():
        found = figures["guarded"][name]
        shown = "".join("-".rjust(width) if math.isnan(figure) else f"{figure:>{width}.1f}"
                        for figure, width in ((bare, 10), (found, 10), (found - bare, 12)))  # fmt: skip
        print(f"{name:24}{shown}   {_GOALS[name]}")
    clock.save(options.json, {"goals": _GOALS, **figures})
    return 0
