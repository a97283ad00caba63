"""CPU per operation and event over a WebSocket, and memory of idle sockets, on uvicorn, with and without the guard.

Goals: 150 µs an operation and 5 µs an event over the bare app, 25 KiB a socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.listeners import loopback

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


async def _open(port: int) -> ClientConnection:
    connection = await connect(
        f"ws://127.0.0.1:{port}/graphql", subprotocols=["graphql-transport-ws"], compression=None, proxy=None,
        ping_interval=None,
    )  # fmt: skip
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


def _figures(target: str) -> dict[str, float]:
    with server(target) as (process, port):
        operation = min(asyncio.run(_measure(process, port, _OPERATIONS, 1)) for _ in range(_ROUNDS))
        events = 1_000
        event = min(asyncio.run(_measure(process, port, _EVENTS // events, events)) for _ in range(_ROUNDS)) / events
        memory = asyncio.run(_memory(process, port))
    return {"CPU µs an operation": operation, "CPU µs an event": event, "KiB an idle socket": memory}


def main() -> int:
    """Print the table."""
    figures = {target: _figures(target) for target in _TARGETS}
    print(f"{'':24}{'bare':>10}{'guarded':>10}{'over bare':>12}")
    for name, bare in figures["bare"].items():
        found = figures["guarded"][name]
        print(f"{name:24}{bare:>10.1f}{found:>10.1f}{found - bare:>12.1f}")
    return 0
