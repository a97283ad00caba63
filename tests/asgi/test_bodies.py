"""A body that came with its head is read like one that is waited for."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.asgi import Connection, EchoApp, graphql, http_scope, request

QUERY = b'{"query":"{me{id}}"}'


class Prompt(Connection):
    """A server that has everything already."""

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        return await super().receive()


class Gone(Prompt):
    """A client that is gone before its body is complete."""

    def __init__(self, chunks) -> None:
        super().__init__([*chunks, b""])
        self.messages[-1] = {"type": "http.disconnect"}


@pytest.mark.parametrize("kind", [Prompt, Connection])
@pytest.mark.parametrize("chunks", [[QUERY], [QUERY[:5], QUERY[5:], b""]], ids=["whole", "in parts"])
async def test_it_reaches_the_app(guarded, kind, chunks) -> None:
    app = EchoApp()
    guard = guarded(app)
    reply = await graphql(guard, "", connection=kind(chunks))
    assert (reply.status, app.bodies) == (200, [QUERY])
    assert guard.guard.runtime.budget.used == 0


@pytest.mark.parametrize("kind", [Prompt, Connection])
async def test_it_is_bounded(guarded, kind) -> None:
    app = EchoApp()
    guard = guarded(app, max_body_bytes=10)
    reply = await request(guard, content_type="application/json", chunks=[b""], connection=kind([QUERY[:8], QUERY[8:]]))
    assert (reply.status, reply.code, app.bodies) == (413, "BODY_TOO_LARGE", [])
    assert guard.guard.runtime.budget.used == 0


async def test_a_client_that_left_meanwhile_gets_no_answer(guarded) -> None:
    app = EchoApp()
    guard = guarded(app)
    reply = await graphql(guard, "", connection=Gone([QUERY[:5]]))
    assert (reply.status, app.bodies) == (0, [])
    assert guard.guard.runtime.budget.used == 0


@pytest.mark.parametrize("pause", [None, 0, 0.01])
async def test_the_servers_own_failure_refuses(guarded, pause) -> None:
    async def receive():
        if pause is not None:
            await asyncio.sleep(pause)
        raise ConnectionResetError("mine")

    connection = Connection([])
    connection.receive = receive
    reply = await graphql(guarded(), "{me{id}}", connection=connection)
    assert (reply.status, reply.code) == (503, "GUARD_FAULT")


async def test_a_body_that_was_begun_and_stops_is_not_waited_for(guarded) -> None:
    class Stalling(Prompt):
        async def receive(self):
            if self.messages and self.messages[0]["more_body"]:
                return self.messages.pop(0)
            return await asyncio.Event().wait()

    guard = guarded(body_timeout_seconds=0.05)
    reply = await graphql(guard, "", connection=Stalling([QUERY[:5], QUERY[5:]]))
    assert (reply.status, reply.code) == (408, "BODY_TIMEOUT")
    assert asyncio.current_task().cancelling() == 0


async def test_the_servers_cancellation_is_heard_while_it_is_waited_for(guarded) -> None:
    connection = Connection([QUERY])
    connection.receive = asyncio.Event().wait
    guard = guarded()
    headers = {"content-type": "application/json"}
    running = asyncio.create_task(guard(http_scope(headers=headers), connection.receive, connection.send))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (connection.reply.messages, guard.guard.runtime.budget.used) == ([], 0)
