"""The wire to Redis: what is written when, on a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fraiseql_guard.stores.redis.client.wire import Wire

Send = Callable[[int], "asyncio.Future[Any]"]


def sent(server: socket.socket) -> list[int]:
    """The commands that have arrived so far."""
    try:
        return [int(line) for line in server.recv(65_536).split()]
    except BlockingIOError:
        return []


@pytest.fixture
async def line() -> AsyncIterator[tuple[Wire, socket.socket, Send]]:
    own, server = socket.socketpair()
    own.setblocking(False)
    server.setblocking(False)
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: Wire(loop), sock=own)

    def send(number: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = loop.create_future()
        link.send(b"%d\r\n" % number, (future,))
        return future

    yield link, server, send
    await link.drop("the test is over")
    server.close()


async def test_a_lone_command_goes_out_at_once(line) -> None:
    _, server, send = line
    send(0)
    assert sent(server) == [0]


async def test_commands_of_one_turn_go_out_together_but_redis_is_not_kept_waiting_for_the_last(line) -> None:
    _, server, send = line
    futures = [send(number) for number in range(100)]
    arrived = sent(server)
    assert arrived == list(range(len(arrived)))
    assert 100 - 16 <= len(arrived) < 100  # before this turn is over
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert arrived + sent(server) == list(range(100))
    server.send(b"".join(b":%d\r\n" % number for number in range(100)))
    assert await asyncio.gather(*futures) == list(range(100))


async def test_nothing_is_left_behind_when_the_connection_ends(line) -> None:
    link, _, send = line
    futures = [send(number) for number in range(10)]
    link.abort("for the test")
    await asyncio.sleep(0)
    assert {str(each) for each in await asyncio.gather(*futures, return_exceptions=True)} == {
        str(futures[0].exception())
    }
    assert not link.waits
