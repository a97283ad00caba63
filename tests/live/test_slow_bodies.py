"""Bodies that one address sends slowly, on real servers: the others are served, and a blocked caller is not read."""

from __future__ import annotations

import asyncio

import pytest
from h2.connection import H2Connection
from h2.events import ResponseReceived

from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp
from tests.support.in_loop import hypercorn_serves, uvicorn_serves
from tests.support.waiting import until

ATTACKER, OTHER = "127.0.0.66", "127.0.0.7"
SERVERS = {"uvicorn": uvicorn_serves, "hypercorn": hypercorn_serves}
on_each_server = pytest.mark.parametrize("serves", SERVERS.values(), ids=SERVERS)
SMALL = {"max_body_bytes": 10_000, "max_buffered_bytes": 80_000, "rate_limit_default": "1000/minute"}
QUERY = b'{"query":"{me{id}}"}'


class Client:
    """One HTTP/1.1 connection from an address of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, address: str) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))

    async def send(self, *lines: str, body: bytes = b"") -> None:
        head = ("POST /graphql HTTP/1.1", "host: x", "content-type: application/json", *lines, "", "")
        self._writer.write("\r\n".join(head).encode() + body)
        await self._writer.drain()

    async def status(self) -> int:
        """That of the answer; 0 if the connection ended without one."""
        line = await asyncio.wait_for(self._reader.readline(), 60)
        return int(line.split()[1]) if line else 0

    async def close(self) -> None:
        self._writer.close()


async def ask(port: int, address: str, *lines: str) -> int:
    """The status of a whole request."""
    client = await Client.connect(port, address)
    await client.send(f"content-length: {len(QUERY)}", "connection: close", *lines, body=QUERY)
    status = await client.status()
    await client.close()
    return status


async def begin(port: int, address: str, count: int, *lines: str) -> list[Client]:
    """Requests of which a part of the body has come, and the rest will not."""
    clients = [await Client.connect(port, address) for _ in range(count)]
    for client in clients:
        await client.send("content-length: 9000", *lines, body=b" " * 850)
    return clients


@on_each_server
async def test_94_slow_connections_of_one_address_leave_the_others_served(guarded, serves) -> None:
    guard = guarded(EchoApp(), body_timeout_seconds=600, **SMALL)
    async with serves(guard) as port:
        clients = await begin(port, ATTACKER, 94)
        statuses = [client.status() for client in clients]
        running = [asyncio.ensure_future(status) for status in statuses]
        await until(lambda: sum(each.done() for each in running) == 94 - 11)  # 10,000 bytes hold eleven of them
        assert {each.result() for each in running if each.done()} == {429}
        assert guard.guard.runtime.budget.used <= 10_000
        for _ in range(5):
            assert await ask(port, OTHER) == 200
        assert guard.metric("fraiseql_guard_refusals_total", code="BODY_BUFFER_FULL") == 0
        for client in clients:
            await client.close()
        await until(lambda: guard.guard.runtime.budget.used == 0)
        assert await ask(port, ATTACKER) == 200
        await asyncio.wait(running)


@on_each_server
async def test_connections_that_are_given_up_are_paid_for(guarded, serves) -> None:
    guard = guarded(EchoApp(), **{**SMALL, "rate_limit_default": "20/hour", "rate_limit_burst": 0})
    async with serves(guard) as port:
        for client in await begin(port, ATTACKER, 20):
            await client.close()
        await until(lambda: guard.guard.runtime.budget.used == 0)
        assert [await ask(port, ATTACKER) for _ in range(2)] == [429] * 2
        assert await ask(port, OTHER) == 200


@on_each_server
async def test_who_is_blocked_is_answered_before_any_body_came(guarded, secret, serves) -> None:
    guard = guarded(EchoApp(), jwt_secret=secret, auth_required=False, body_timeout_seconds=600, **SMALL)
    store = guard.guard.runtime.store
    await store.sanctions.impose(Sanction(Subject("address", ATTACKER), PolicyName.OPERATOR, 600))
    await guard.guard.block_user("mallory", 600)
    token = f"authorization: Bearer {make_token(secret, sub='mallory')}"

    async def asked(address: str, *lines: str) -> tuple[int, int]:
        client = await Client.connect(port, address)
        await client.send("content-length: 9000", *lines)
        status = await client.status()
        await client.close()
        return status, guard.guard.runtime.budget.used

    async with serves(guard) as port:
        for caller in ((ATTACKER,), (OTHER, token)):
            assert [await asked(*caller) for _ in range(5)] == [(403, 0)] * 5
        assert await ask(port, OTHER) == 200
        assert guard.app.bodies == [QUERY]


async def test_crumbs_over_http2_are_kept_as_one_body(guarded) -> None:
    guard = guarded(EchoApp(), body_timeout_seconds=600)
    async with hypercorn_serves(guard) as port:
        connection = H2Connection()
        connection.initiate_connection()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        headers = [(":method", "POST"), (":path", "/graphql"), (":scheme", "http"), (":authority", "x"),
                   ("content-type", "application/json")]  # fmt: skip
        connection.send_headers(1, headers)
        for piece in (b"", QUERY[:5], b"", *[QUERY[at : at + 1] for at in range(5, len(QUERY))]):
            connection.send_data(1, piece)
            writer.write(connection.data_to_send())
            await writer.drain()
            await asyncio.sleep(0.001)
        await until(lambda: guard.guard.runtime.budget.used == len(QUERY))
        connection.end_stream(1)
        writer.write(connection.data_to_send())
        status = await _status(connection, reader)
        writer.close()
    assert (status, guard.app.bodies) == (200, [QUERY])


async def _status(connection: H2Connection, reader: asyncio.StreamReader) -> int:
    while data := await asyncio.wait_for(reader.read(65_536), 60):
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived):
                return int(dict(event.headers)[b":status"])
    return 0
