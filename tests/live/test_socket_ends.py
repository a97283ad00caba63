"""What is open on two real servers with one Redis ends with its token, a block, a sanction, its user, an operator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores.redis.store import RedisStore
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.redis_server import RedisServer
from tests.support.socket_client import ClosedError, RefusedError, connected
from tests.support.socket_servers import SocketServer, serving
from tests.support.socket_users_app import DISABLED, ROUND
from tests.support.sse_client import SSEStream, streamed
from tests.support.waiting import until

pytestmark = pytest.mark.redis

APP: Final = "tests.support.socket_users_app:users_app"
TICKS: Final = "subscription { ticks(interval: 0.05) }"
DEEP: Final = "{ me " + "{ friend " * 60 + "{ id }" + "}" * 61
ADA, BOB = make_token(SECRET, sub="ada"), make_token(SECRET, sub="bob")
WAYS = pytest.mark.parametrize("way", ["socket", "stream"])


class Open:
    """A subscription that goes on until something ends it: over a socket, or over server-sent events."""

    def __init__(self, events: Callable[[], Any]) -> None:
        self.why: str | None = None
        self.ended_at = 0.0
        self.seen = 0
        self._events = events
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while (why := await self._events()) is None:
            self.seen += 1
        self.why, self.ended_at = why, time.time()


@asynccontextmanager
async def over_socket(server: SocketServer, token: str | None, address: str) -> AsyncIterator[Open]:
    async with connected(server.ws(), headers={"X-Forwarded-For": address}) as socket:
        await socket.init(None if token is None else {"authorization": f"Bearer {token}"})
        await socket.subscribe("1", TICKS)

        async def event() -> str | None:
            try:
                await socket.receive_type("next")
            except ClosedError as closed:
                return str(closed)
            return None

        yield Open(event)


@asynccontextmanager
async def over_events(server: SocketServer, token: str | None, address: str) -> AsyncIterator[Open]:
    headers = {"X-Forwarded-For": address, **({"Authorization": f"Bearer {token}"} if token else {})}
    async with streamed(f"{server.url}/graphql", TICKS, headers=headers) as stream:

        async def event() -> str | None:
            return await _next(stream)

        yield Open(event)


async def _next(stream: SSEStream) -> str | None:
    """Why the stream has ended; None for an event."""
    try:
        found = await stream.next()
    except (EOFError, httpx.HTTPError):
        return "cut"
    told = found.json
    if found.name == "complete":
        return "complete"
    return told["errors"][0]["extensions"]["code"] if told and "errors" in told else None


class Fleet:
    """Two servers on one Redis, an operator, and what was opened at them."""

    def __init__(self, servers: list[SocketServer], operator: StoreOperator, disabled: Path) -> None:
        self.servers = servers
        self.operator = operator
        self.disabled = disabled
        self.log = disabled.with_name("guard.log")
        self._read = len(self.log.read_text().splitlines())
        self.stack = AsyncExitStack()

    async def open(self, way: str, server: int, token: str | None = None, address: str = "203.0.113.7") -> Open:
        opening = over_socket if way == "socket" else over_events
        found = await self.stack.enter_async_context(opening(self.servers[server], token, address))
        await until(lambda: found.seen)
        return found

    async def goes_on(self, *those: Open) -> None:
        """These have not ended, and see further events."""
        before = [each.seen for each in those]
        await until(lambda: all(each.seen > seen for each, seen in zip(those, before, strict=True)))
        assert [each.why for each in those] == [None] * len(those)

    def lines(self) -> list[Any]:
        """What both servers have logged since the last look."""
        written = self.log.read_text().splitlines()
        found, self._read = written[self._read :], len(written)
        return [json.loads(line) for line in found]

    def ask(self, server: int, query: str, token: str | None, address: str = "203.0.113.7") -> httpx.Response:
        headers = {"X-Forwarded-For": address, **({"Authorization": f"Bearer {token}"} if token else {})}
        where = f"{self.servers[server].url}/graphql"
        return httpx.post(where, json={"query": query}, headers=headers, timeout=20, trust_env=False)

    async def is_refused(self, server: int, token: str | None, address: str = "203.0.113.7") -> None:
        """The next upgrade, or its initialization, is refused for the block."""
        with pytest.raises((RefusedError, ClosedError), match="403"):
            async with over_socket(self.servers[server], token, address):
                pass


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def servers(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SocketServer]]:
    folder = tmp_path_factory.mktemp("ends")
    environment = {
        name_of("redis_url"): redis.url,
        name_of("jwt_secret"): SECRET,
        name_of("auth_required"): "false",
        name_of("trusted_proxies"): "127.0.0.1",
        name_of("rate_limit_default"): "100000/minute",
        name_of("rate_limit_authenticated"): "100000/minute",
        name_of("dos_offences"): "2",
        name_of("store_timeout_ms"): "5000",
        name_of("log_file"): str(folder / "guard.log"),
        DISABLED: str(folder / "disabled"),
        ROUND: "1.0",
    }
    with serving("uvicorn", APP, folder, environment) as one, serving("uvicorn", APP, folder, environment) as other:
        yield [one, other]


@pytest.fixture
async def fleet(servers: list[SocketServer], redis: RedisServer) -> AsyncIterator[Fleet]:
    redis.flush()
    store = RedisStore(redis.url, timeout_seconds=5)
    found = Fleet(
        servers, StoreOperator(store, Settings.load({}), audit=lambda *_: None), servers[0].folder / "disabled"
    )
    # What a test before has brought is forgotten once the servers have looked at the empty store.
    await until(
        lambda: all(found.ask(each, "{ me { id } }", who).status_code == 200 for each in (0, 1) for who in (None, ADA))
    )
    async with found.stack:
        yield found
    found.disabled.unlink(missing_ok=True)
    await store.aclose()


def told(way: str, socket: str, stream: str) -> str:
    return socket if way == "socket" else stream


async def ended(*those: Open) -> float:
    """When the last of these has ended; each says why."""
    await until(lambda: all(each.why for each in those))
    return max(each.ended_at for each in those)


@WAYS
async def test_a_subscription_ends_with_its_token(fleet: Fleet, way: str) -> None:
    over = int(time.time()) + 3
    token = make_token(SECRET, sub="ada", exp=over)
    found, other = await fleet.open(way, 0, token), await fleet.open(way, 0, BOB)
    at = await ended(found)
    assert found.why == told(way, "4403 TOKEN_EXPIRED", "cut")
    print(f"ended {at - over:.3f} s after its token")
    assert at >= over
    await fleet.goes_on(other)
    closed = [line for line in fleet.lines() if "token_expired" in json.dumps(line)]
    assert [line["event"] for line in closed] == [told(way, "guard.socket_closed", "guard.subscription_ended")]


@WAYS
async def test_an_operators_block_of_a_user_is_heard_by_all_workers(fleet: Fleet, way: str) -> None:
    of_ada = [await fleet.open(way, server, ADA) for server in (0, 1)]
    others = [await fleet.open(way, 1, BOB), await fleet.open(way, 1)]
    since = time.time()
    await fleet.operator.block(Target(user_id="ada"), duration_seconds=60)
    print(f"ended {await ended(*of_ada) - since:.3f} s after the block")
    assert {each.why for each in of_ada} == {told(way, "4403 BLOCKED", "BLOCKED")}
    await fleet.goes_on(*others)
    await fleet.is_refused(1, ADA)


@WAYS
async def test_an_operators_block_of_an_address_is_heard_by_all_workers(fleet: Fleet, way: str) -> None:
    from_there = [await fleet.open(way, server, token) for server, token in ((0, None), (1, ADA))]
    other = await fleet.open(way, 1, ADA, "198.51.100.9")
    since = time.time()
    await fleet.operator.block(Target(ip_address="203.0.113.7"), duration_seconds=60)
    print(f"ended {await ended(*from_there) - since:.3f} s after the block")
    assert {each.why for each in from_there} == {told(way, "4403 BLOCKED", "BLOCKED")}
    await fleet.goes_on(other)
    await fleet.is_refused(1, None)


@WAYS
async def test_an_automatic_sanction_is_heard_by_the_other_worker(fleet: Fleet, way: str) -> None:
    of_ada = [await fleet.open(way, server, ADA) for server in (0, 1)]
    others = [await fleet.open(way, 0, BOB), await fleet.open(way, 0)]
    codes = [fleet.ask(1, DEEP, ADA).json()["errors"][0]["extensions"]["code"] for _ in range(3)]
    since = time.time()
    assert codes == ["QUERY_TOO_DEEP", "QUERY_TOO_DEEP", "BLOCKED"]
    print(f"ended {await ended(*of_ada) - since:.3f} s after the sanction")
    await fleet.goes_on(*others)
    await fleet.is_refused(0, ADA)


@WAYS
async def test_a_user_who_is_disabled_loses_what_is_open_on_all_workers(fleet: Fleet, way: str) -> None:
    of_ada = [await fleet.open(way, server, ADA) for server in (0, 1)]
    other = await fleet.open(way, 0, BOB)
    fleet.disabled.write_text("ada")
    await ended(*of_ada)
    assert {each.why for each in of_ada} == {told(way, "4403 UNAUTHENTICATED", "UNAUTHENTICATED")}
    await fleet.goes_on(other)
    await fleet.is_refused(1, ADA)


@WAYS
async def test_operators_see_what_is_open_on_all_workers_and_close_it(fleet: Fleet, way: str) -> None:
    of_ada, of_bob = await fleet.open(way, 0, ADA), await fleet.open(way, 1, BOB)

    async def seen() -> bool:
        return {each.user_id for each in (await fleet.operator.sockets()).items} == {"ada", "bob"}

    await until(seen)
    (facts,) = (await fleet.operator.sockets(user_id="ada")).items
    assert facts.protocol == told(way, "graphql_transport_ws", "sse")
    assert facts.ip_address == "203.0.113.7"
    assert [each.query_hash for each in facts.operations] != [""]
    assert facts.token_ends_at is not None
    await fleet.operator.close_sockets(connection_id=facts.id)
    await ended(of_ada)
    assert of_ada.why == told(way, "4503 SHUTDOWN", "cut")
    await fleet.goes_on(of_bob)


async def test_why_explains_an_operation_of_a_socket(fleet: Fleet) -> None:
    async with connected(fleet.servers[0].ws(), headers={"X-Forwarded-For": "203.0.113.9"}) as socket:
        await socket.init({"authorization": f"Bearer {ADA}"})
        (errors,) = await socket.ask("{ me " + "{ friend " * 12 + "{ id }" + "}" * 13)
        request_id = errors[0]["extensions"]["requestId"]

    async def noted() -> bool:
        return any(each.request_id == request_id for each in await fleet.operator.refusals())

    await until(noted)
    found = await fleet.operator.why(request_id)
    assert (found.code, found.user_id) == ("QUERY_TOO_DEEP", "ada")
