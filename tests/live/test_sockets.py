"""Guarded sockets on real servers: what clients, apps and other clients see."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
import pytest

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.redis_server import RedisServer
from tests.support.socket_client import ClosedError, L, T, connected
from tests.support.socket_servers import (
    GUARDED_ARIADNE,
    GUARDED_CLOSING,
    GUARDED_STRAWBERRY,
    ROOMY,
    SocketServer,
    serving,
)
from tests.support.waiting import until

# Servers and apps are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

SIGNED = {"FRAISEQL_JWT_SECRET": SECRET}
FOUR = ("uvicorn", "uvicorn-wsproto", "hypercorn", "granian")
CLOCK_GRAIN_SECONDS = 0.02
ADA = make_token(SECRET, sub="ada")


def environment(folder: Any, **more: str) -> dict[str, str]:
    named = {f"FRAISEQL_{name}": value for name, value in more.items()}
    return {**ROOMY, **named, "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    """Strawberry behind a guard on uvicorn: a timeout of a second, a pool of ten, no tokens."""
    folder = tmp_path_factory.mktemp("plain")
    options = {"QUERY_TIMEOUT": "1", "GUARD_DATABASE_POOL_SIZE": "10", "GUARD_MAX_IN_FLIGHT": "100"}
    options |= {"GUARD_SOCKET_SEND_SECONDS": "2", "GUARD_MAX_SUBSCRIPTIONS_PER_SOCKET": "200"}
    with serving("uvicorn", GUARDED_STRAWBERRY, folder, environment(folder, **options)) as server:
        yield server


@pytest.fixture(scope="module", params=FOUR)
def signed(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    """The same on four servers, with tokens and the guard's own limits."""
    folder = tmp_path_factory.mktemp("signed")
    env = {**SIGNED, "FRAISEQL_QUERY_TIMEOUT": "5", "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log")}
    with serving(request.param, GUARDED_STRAWBERRY, folder, env) as server:
        yield server


def metric(server: SocketServer, name: str, **labels: str) -> float:
    return server.metric(name, **labels)


def code_of(payload: Any) -> str | None:
    error = payload[0] if isinstance(payload, list) else payload
    return error.get("extensions", {}).get("code")


# --- four servers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [T, L])
async def test_queries_mutations_and_subscriptions_of_a_user(signed: SocketServer, protocol: str) -> None:
    async with connected(signed.ws(), protocols=(protocol,)) as socket:
        await socket.init({"authorization": f"Bearer {ADA}"})
        assert await socket.ask("subscription { count(to: 3) }") == [{"data": {"count": n}} for n in (1, 2, 3)]
        if protocol == T:  # the legacy protocol of this app has subscriptions alone
            (answer,) = await socket.ask("{ me { id deadline requestId } }", number="2")
            me = answer["data"]["me"]
            assert (me["id"], len(me["requestId"])) == ("ada", 32)
            assert 4.5 < me["deadline"] <= 5.0
            (noted,) = await socket.ask('mutation { note(text: "x") }', number="3")
            assert noted["data"]["note"] >= 1
        else:
            await socket.subscribe("2", "subscription { whoami(interval: 9) }")
            assert (await socket.receive_type("data"))["payload"] == {"data": {"whoami": "ada"}}


@pytest.mark.parametrize("protocol", [T, L])
async def test_what_is_wrong_with_a_token_decides_how_the_socket_ends(signed: SocketServer, protocol: str) -> None:
    tokens = {
        4401: "not-a-token",
        4403: make_token(SECRET, sub="ada", expires_in_seconds=-60),
    }
    before = metric(signed, "fraiseql_guard_sockets_closed_total", reason="unauthenticated")
    for code, token in tokens.items():
        async with connected(signed.ws(), protocols=(protocol,)) as socket:
            await socket.init({"authorization": token}, ack=False)
            if protocol == L:  # clients of the other protocol take this for a breach
                assert code_of((await socket.receive_type("connection_error"))["payload"]) == "UNAUTHENTICATED"
            ended = await socket.ended()
            assert (ended.code, ended.reason) == (code, "UNAUTHENTICATED")
    assert metric(signed, "fraiseql_guard_sockets_closed_total", reason="unauthenticated") == before + 2


async def test_a_live_socket_ends_with_its_token(signed: SocketServer) -> None:
    token = make_token(SECRET, sub="ada", expires_in_seconds=4)
    began_at = time.time()
    async with connected(signed.ws()) as socket:
        await socket.init({"token": token})
        await socket.subscribe("1", "subscription { ticks(interval: 60) }")
        await socket.receive_type("next")
        ended = await socket.ended()
        assert (ended.code, ended.reason) == (4403, "TOKEN_EXPIRED")
        assert time.time() > began_at + 2.9  # a token's end is a whole second
    async with connected(signed.ws()) as socket:
        await socket.init({"token": ADA})
        assert (await socket.ask("{ me { id } }"))[0]["data"] == {"me": {"id": "ada"}}


async def test_one_operation_too_many_is_refused_by_a_message(signed: SocketServer) -> None:
    async with connected(signed.ws()) as socket:
        await socket.init({"token": ADA})
        for number in range(50):
            await socket.subscribe(str(number), "subscription { ticks(interval: 60) }")
            await socket.receive_type("next")
        assert [code_of(each) for each in await socket.ask("{ me { id } }", number="50")] == ["TOO_MANY_SUBSCRIPTIONS"]
        await socket.complete("7")
        await socket.subscribe("50", "subscription { ticks(interval: 60) }")
        assert (await socket.receive_type("next"))["id"] == "50"


async def test_a_flood_of_messages_ends_the_socket(signed: SocketServer) -> None:
    async with connected(signed.ws()) as socket:
        await socket.init({"token": ADA})
        with suppress(ClosedError):  # the guard may be faster than this client
            for _ in range(300):
                await socket.send({"type": "ping"})
        ended = await socket.ended()
        # granian ends the connection without reading what is on its way, which can cost its own close frame.
        assert ended.code == 4429 or (signed.name == "granian" and ended.code == 1006)


async def test_what_is_said_out_of_turn_ends_the_socket(signed: SocketServer) -> None:
    for protocol in (T, L):
        async with connected(signed.ws(), protocols=(protocol,)) as socket:
            await socket.subscribe("1", "{ me { id } }")
            assert (await socket.ended()).code == 4401
        async with connected(signed.ws(), protocols=(protocol,)) as socket:
            await socket.init({"token": ADA})
            await socket.send({"type": "connection_init"})
            assert (await socket.ended()).code == 4429
        for text in (b"{}", "[]", "null", "{nope", '{"type":"ping","type":"ping"}', '{"type":"x"}'):
            async with connected(signed.ws(), protocols=(protocol,)) as socket:
                await socket.send_raw(text)
                assert (await socket.ended()).code == 4400


@pytest.mark.parametrize("name", FOUR)
async def test_a_client_that_does_not_read_is_ended_on_each_server(name: str, tmp_path: Any) -> None:
    variables = environment(tmp_path, GUARD_SOCKET_SEND_SECONDS="1")
    with serving(name, GUARDED_STRAWBERRY, tmp_path, variables) as server:
        async with connected(server.ws(), max_queue=1) as lazy:
            await lazy.init()
            lazy.connection.transport.pause_reading()
            await lazy.subscribe("1", "subscription { big(kilobytes: 64) }")

            def is_ended() -> bool:
                closed = metric(server, "fraiseql_guard_sockets_closed_total", reason="slow_consumer")
                return closed == 1 and server.probe()["ended"].get("big") == 1

            await until(is_ended, seconds=12)
            lazy.abort()


# --- one server ------------------------------------------------------------------------------------------------------


async def test_who_says_nothing_is_ended_after_ten_seconds_by_default(plain: SocketServer) -> None:
    since = time.monotonic()
    async with connected(plain.ws()) as socket:
        opened = time.monotonic()
        ended = await socket.ended()
        seconds = time.monotonic() - opened
    print(f"ended after {seconds:.3f} s")
    assert (ended.code, ended.reason) == (4408, "SOCKET_PROTOCOL")
    assert time.monotonic() - since >= 10.0 - CLOCK_GRAIN_SECONDS


async def test_an_operation_is_stopped_at_its_deadline(plain: SocketServer) -> None:
    async with connected(plain.ws()) as socket:
        await socket.init()
        await socket.subscribe("s", "subscription { ticks(interval: 0.1) }")
        before, began_at = plain.probe()["cancelled"].get("slow", 0), time.monotonic()
        await socket.subscribe("q", "{ slow(seconds: 5) }")
        while (message := await socket.receive())["id"] != "q":
            assert message["type"] == "next"
        assert message["type"] == "error"
        assert code_of(message["payload"]) == "QUERY_TIMEOUT"
        assert time.monotonic() - began_at >= 1.0
        await until(lambda: plain.probe()["cancelled"].get("slow", 0) == before + 1)
        assert (await socket.receive())["id"] == "s"


async def test_subscriptions_take_no_places_of_queries(plain: SocketServer) -> None:
    async with connected(plain.ws()) as socket:
        await socket.init()
        for number in range(90):
            await socket.subscribe(str(number), "subscription { ticks(interval: 60) }")
            await socket.receive_type("next")
        assert (await socket.ask("{ me { id } }", number="q"))[0]["data"]["me"]["id"] == "anonymous"
        mixed = await socket.ask("query A { me { id } } subscription B { silent }", number="m", operationName="A")
        assert [code_of(each) for each in mixed] == ["GRAPHQL_INVALID"]


async def test_slow_queries_of_one_socket_count_among_those_at_work(plain: SocketServer) -> None:
    async with connected(plain.ws()) as socket:
        await socket.init()
        for number in range(9):
            await socket.subscribe(str(number), "{ slow(seconds: 0.9) }")
        found = {}
        while len(found) < 9:
            message = await socket.receive()
            if message["type"] in ("next", "error"):
                found[message["id"]] = message["type"]
        assert list(found.values()).count("next") == 5  # half of the pool is for anonymous callers


async def test_clients_that_vanish_leave_nothing_behind(plain: SocketServer) -> None:
    await asyncio.sleep(0.5)
    tasks = plain.probe()["tasks"]
    for _ in range(4):
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(connected(plain.ws())) for _ in range(50)]
            for socket in sockets:
                await socket.init()
            for socket in sockets:
                for number in range(5):
                    await socket.subscribe(str(number), "subscription { ticks(interval: 5) }")
                socket.abort()

    def nothing_left() -> bool:
        told = plain.probe()
        same = told["begun"].get("ticks") == told["ended"].get("ticks")
        return same and told["sockets"] == 0 and told["tasks"] <= tasks + 2

    await until(nothing_left, seconds=10)
    await until(lambda: metric(plain, "fraiseql_guard_subscriptions", transport="socket") == 0, seconds=10)
    assert metric(plain, "fraiseql_guard_sockets") == 0
    assert metric(plain, "fraiseql_guard_faults_total") == 0


async def test_the_life_of_a_subscription_is_no_duration_of_a_request(plain: SocketServer) -> None:
    def slowest() -> tuple[float, float]:
        names = ("fraiseql_response_time_seconds", "fraiseql_graphql_query_duration_seconds")
        return tuple(metric(plain, f"{name}_count") - metric(plain, f"{name}_bucket", le="0.5") for name in names)  # type: ignore[return-value]

    await asyncio.sleep(0.3)
    before = slowest()
    async with connected(plain.ws()) as socket:
        await socket.init()
        await socket.subscribe("1", "subscription { ticks(interval: 0.2) }")
        await socket.subscribe("2", "subscription { silent }")
        await asyncio.sleep(1.5)
    await asyncio.sleep(0.5)
    assert slowest() == before
    assert metric(plain, "fraiseql_guard_subscription_seconds_count") >= 2


# --- apps that execute in their receive loop, or hang up -------------------------------------------------------------


async def test_an_app_that_executes_in_its_receive_loop_is_stopped_too(tmp_path: Any) -> None:
    with serving("uvicorn", GUARDED_ARIADNE, tmp_path, environment(tmp_path, QUERY_TIMEOUT="1")) as server:
        async with connected(server.ws()) as socket:
            await socket.init()
            assert (await socket.ask("{ me { id } }"))[0]["data"]["me"]["id"] == "anonymous"
            await socket.subscribe("2", "{ slow(seconds: 9) }")
            assert code_of((await socket.receive_type("error"))["payload"]) == "QUERY_TIMEOUT"
            assert (await socket.ended()).code == 4503
        await until(lambda: server.probe()["ended"].get("slow") == 1)


@pytest.mark.parametrize("moment", ["unacknowledged", "working"])
async def test_an_app_that_hangs_up_does_not_bring_clients_back_at_once(tmp_path: Any, moment: str) -> None:
    variables = {**environment(tmp_path), "SOCKET_APP_CLOSES": f"{moment}:1000"}
    with serving("uvicorn", GUARDED_CLOSING, tmp_path, variables) as server:
        async with connected(server.ws()) as socket:
            await socket.init(ack=moment == "working")
            if moment == "working":
                await socket.subscribe("1", "{ me { id } }")
            assert (await socket.ended()).code == 4503


# --- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_operations_over_sockets_and_workers_share_one_rate(tmp_path: Any) -> None:
    limits = {"RATE_LIMIT_AUTHENTICATED": "32/minute", "RATE_LIMIT_BURST": "0", "JWT_SECRET": SECRET}
    with RedisServer() as redis:
        variables = environment(tmp_path, REDIS_URL=redis.url, **limits)
        with (
            serving("uvicorn", GUARDED_STRAWBERRY, tmp_path, variables) as one,
            serving("uvicorn", GUARDED_STRAWBERRY, tmp_path, variables) as other,
        ):
            async with connected(one.ws()) as first, connected(other.ws()) as second:
                await first.init({"token": ADA})
                await second.init({"token": ADA})
                answers = [
                    (await (first, second)[number % 2].ask("{ me { id } }", number=str(number)))[-1]
                    for number in range(32)
                ]
                refused = [code_of(each) for each in answers if "data" not in each]
                assert (len(answers) - len(refused), set(refused)) == (30, {"RATE_LIMITED"})
                wait = answers[-1][0]["extensions"]["retryAfter"]
                assert 1 <= wait <= 2
                headers = {"authorization": f"Bearer {ADA}"}
                async with httpx.AsyncClient(trust_env=False, headers=headers) as http:
                    over_http = await http.post(f"{one.url}/graphql", json={"query": "{ me { id } }"})
                assert over_http.status_code == 429
                await first.send({"type": "ping"})
                assert (await first.receive())["type"] == "pong"
