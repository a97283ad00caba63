"""The load of the flood, in a process of its own: requests at a fixed rate, whatever becomes of them.

``python -m benchmarks.flood_load`` reads an order (a line of JSON) from standard input, says that it is ready, begins
with the next line, and writes what it saw (JSON). The time of a request begins when it was due: one that waits because
those before it are late has waited.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.flood_attacks import ATTACKS, Request, ordinary

GOOD_SECONDS = 1.0
"""An ordinary request that was answered 200 later than that is no good answer any more."""
TIMEOUT_SECONDS = 5.0
MOST_OPEN = 2_000
"""Connections of an attacker; what is due beyond them is left out, and counted."""


class Answer(asyncio.Protocol):
    """One HTTP/1.1 connection: a question at a time, and the status of its answer."""

    def __init__(self) -> None:
        self.closed = False
        self._data = b""
        self._waiting: asyncio.Future[int] | None = None
        self._transport: Any = None
        self._trickling: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._recorder(status_of(self._data))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if is_whole(self._data):
            self._recorder(status_of(self._data))

    async def ask(self, request: Request) -> int:
        """The status; 0 if the connection was closed without one."""
        self._data, self._waiting = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request.data)
        if request.rest:
            self._trickling = asyncio.ensure_future(self._trickle(request))
        return await self._waiting

    async def _trickle(self, request: Request) -> None:
        for piece in request.rest:
            await asyncio.sleep(request.pause_seconds)
            if self.closed or self._waiting is None or self._waiting.done():
                return
            self._transport.write(piece)

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def _recorder(self, status: int) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(status)
        self.closed |= b"connection: close" in self._data[:2048].lower()


def status_of(data: bytes) -> int:
    """Of an answer that may be cut; 0 for none."""
    return int(data[9:12]) if data.startswith(b"HTTP/1.1 ") and data[9:12].isdigit() else 0


def is_whole(data: bytes) -> bool:
    """Whether all of an answer is there."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        return body.endswith(b"0\r\n\r\n")
    _, found, length = lowered.partition(b"content-length: ")
    return not found or len(body) >= int(length.partition(b"\r\n")[0])


class Load:
    """Sends at a rate for a while, and notes what came of it."""

    def __init__(self, port: int, requests: Iterator[Request]) -> None:
        self._port = port
        self._requests = requests
        self._idle: list[Answer] = []
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}
        self.good = self.sent = self.left_out = 0

    async def run(self, rate: float, seconds: float, drain_seconds: float) -> None:
        """Open loop: each request at its time, in a task of its own. Its end waits for the last answers so long."""
        began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
        for number in itertools.count():
            due = began + number / rate
            if due > began + seconds:
                break
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if len(tasks) >= MOST_OPEN:
                self.left_out += 1
                continue
            task = asyncio.create_task(self._one(next(self._requests), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks and drain_seconds:
            await asyncio.wait(tasks, timeout=drain_seconds)

    async def _one(self, request: Request, due: float) -> None:
        self.sent += 1
        status, connection = 0, None
        try:
            async with asyncio.timeout(request.leaves_after or TIMEOUT_SECONDS):
                connection = await self._connection()
                status = await connection.ask(request)
        except (OSError, TimeoutError):
            pass
        spent = time.perf_counter() - due
        self.seconds.append(spent)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.good += status == 200 and spent <= GOOD_SECONDS
        if connection is not None and not connection.closed:
            if status and not request.rest:
                self._idle.append(connection)
            else:
                connection.close()

    async def _connection(self) -> Answer:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Answer, "127.0.0.1", self._port))[1]


def main() -> None:
    """Carry out one order."""
    order = json.loads(sys.stdin.readline())
    requests = ordinary(order["secret"]) if order["attack"] is None else ATTACKS[order["attack"]].requests()
    first = next(requests)  # what takes long is made now
    load = Load(order["port"], itertools.chain([first], requests))
    print("ready", flush=True)
    sys.stdin.readline()
    drain = TIMEOUT_SECONDS + 1 if order["attack"] is None else 0.0
    asyncio.run(load.run(order["rate"], order["seconds"], drain))
    times = [round(each, 6) for each in load.seconds] if order["attack"] is None else []
    said = {"seconds": times, "statuses": load.statuses, "good": load.good, "sent": load.sent}
    print(json.dumps({**said, "left_out": load.left_out}))


if __name__ == "__main__":
    main()
