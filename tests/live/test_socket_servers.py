"""Sockets and streams of the apps that are tested, on each server and without a guard: what the support itself does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http2_socket import connected_over_http2
from tests.support.socket_client import ClosedError, L, RawSocket, RefusedError, T, connected
from tests.support.socket_servers import (
    ARIADNE,
    CLOSING,
    ECHO,
    GUARDED_ARIADNE,
    GUARDED_STRAWBERRY,
    SERVERS,
    STRAWBERRY,
    SocketServer,
    serving,
)
from tests.support.sse_client import streamed
from tests.support.waiting import until

# Servers and apps are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

APPS = {"strawberry": STRAWBERRY, "ariadne": ARIADNE}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    with serving(request.param, STRAWBERRY, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module", params=APPS)
def app(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    with serving("uvicorn", APPS[request.param], tmp_path_factory.mktemp("app")) as started:
        yield started


async def converse(connecting: AbstractAsyncContextManager[RawSocket]) -> None:
    async with connecting as socket:
        await socket.init({})
        assert await socket.ask("subscription { count(to: 3) }") == [{"data": {"count": n}} for n in (1, 2, 3)]
        assert await socket.ask("{ me { id friend { id } } }", number="2") == [
            {"data": {"me": {"id": "anonymous", "friend": {"id": "anonymous"}}}}
        ]


async def test_each_server_carries_a_query_and_a_subscription(server: SocketServer) -> None:
    await converse(connected(server.ws()))
    if server.name == "hypercorn":
        await converse(connected_over_http2(server.ws()))


async def test_each_server_tells_the_code_of_a_close(server: SocketServer) -> None:
    async with connected(server.ws()) as socket:
        await socket.subscribe("1", "{ me { id } }")
        assert (await socket.ended()).code == 4401


async def test_each_server_tells_the_status_of_a_refusal(server: SocketServer) -> None:
    with pytest.raises(RefusedError) as refused:
        async with connected(server.ws(), protocols=(), origin="http://other.example"):
            pass
    assert refused.value.status == 403


@pytest.mark.parametrize("protocol", [T, L])
async def test_each_app_speaks_both_protocols(app: SocketServer, protocol: str) -> None:
    async with connected(app.ws(), protocols=(protocol,)) as socket:
        assert socket.protocol == protocol
        await socket.init({})
        assert await socket.ask("subscription { count(to: 2) }") == [{"data": {"count": n}} for n in (1, 2)]
        assert "errors" in (await socket.ask("subscription { failing(after: 1) }", number="2"))[1]


async def test_each_app_streams_events(app: SocketServer) -> None:
    async with streamed(f"{app.url}/graphql", "subscription { count(to: 2) }") as stream:
        assert stream.status == 200
        assert await stream.payloads() == [{"data": {"count": n}} for n in (1, 2)]


@pytest.mark.parametrize("aborts", [True, False], ids=["TCP reset", "close frame"])
async def test_a_generator_is_seen_to_end(app: SocketServer, aborts: bool) -> None:
    before = app.probe()["ended"].get("ticks", 0)
    async with connected(app.ws()) as socket:
        await socket.init({})
        await socket.subscribe("1", "subscription { ticks(interval: 0.05) }")
        await socket.receive_type("next")
        assert app.probe()["sockets"] == 1
        socket.abort() if aborts else await socket.close()
    await until(lambda: app.probe()["ended"].get("ticks", 0) == before + 1)
    await until(lambda: app.probe()["sockets"] == 0)


async def test_the_mutation_and_the_slow_query_are_recorded(app: SocketServer) -> None:
    async with connected(app.ws()) as socket:
        await socket.init({})
        notes = len(app.probe()["notes"])
        assert await socket.ask('mutation { note(text: "hello") }') == [{"data": {"note": notes + 1}}]
        assert await socket.ask("{ slow(seconds: 0.01) }", number="2") == [{"data": {"slow": 0.01}}]
    assert app.probe()["ended"]["slow"] >= 1


def test_the_guarded_apps_start(tmp_path: Path) -> None:
    for app in (GUARDED_STRAWBERRY, GUARDED_ARIADNE):
        with serving("uvicorn", app, tmp_path, {"FRAISEQL_QUERY_TIMEOUT": "20"}) as server:
            answer = httpx.post(
                f"{server.url}/graphql", json={"query": "{ me { deadline requestId } }"}, trust_env=False
            )
            told = answer.json()["data"]["me"]
            assert 10 < told["deadline"] <= 20
            assert told["requestId"] == answer.headers["x-request-id"]


async def test_an_echo_has_no_protocol(tmp_path: Path) -> None:
    with serving("uvicorn", ECHO, tmp_path) as server:
        async with connected(server.ws("/private/ws"), protocols=()) as socket:
            assert socket.protocol == ""
            await socket.send(["hello"])
            assert await socket.receive() == ["hello"]


@pytest.mark.parametrize("moment", ["unacknowledged", "working"])
async def test_an_app_can_close_with_a_code(tmp_path: Path, moment: str) -> None:
    with serving("uvicorn", CLOSING, tmp_path, {"SOCKET_APP_CLOSES": f"{moment}:1000"}) as server:
        async with connected(server.ws()) as socket:
            await socket.init(ack=moment == "working")
            if moment == "working":
                await socket.subscribe("1", "{ me { id } }")
            with pytest.raises(ClosedError) as closed:
                await socket.receive()
        assert closed.value.code == 1000
