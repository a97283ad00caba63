"""``sockets`` as an operator types it: what is open on two real servers, and how it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.testing import make_token
from tests.cli.fleet import SECRET, TOKEN, Operator, Ran
from tests.support.redis_server import RedisServer
from tests.support.socket_client import RawSocket, connected
from tests.support.socket_servers import GUARDED_STRAWBERRY, SocketServer, serving
from tests.support.waiting import until

pytestmark = pytest.mark.redis

NEWS = "subscription News { ticks(interval: 0.05) }"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def servers(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SocketServer]]:
    folder = tmp_path_factory.mktemp("sockets")
    environment = {
        name_of("redis_url"): redis.url,
        name_of("jwt_secret"): SECRET,
        name_of("admin_tokens"): f"oncall={TOKEN}",
    }
    app = GUARDED_STRAWBERRY
    with serving("uvicorn", app, folder, environment) as one, serving("uvicorn", app, folder, environment) as other:
        yield [one, other]


@pytest.fixture(params=["redis", "http"])
def operator(
    request: pytest.FixtureRequest, redis: RedisServer, servers: list[SocketServer], tmp_path: Any
) -> Operator:
    if request.param == "redis":
        return Operator({name_of("redis_url"): redis.url, name_of("log_file"): str(tmp_path / "operator.log")})
    return Operator({name_of("admin_token"): TOKEN}, ("--url", f"{servers[0].url}/admin"))


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """One of this test alone: a worker may still be about to close what a test before has named."""
    return f"ada-{abs(hash(request.node.name))}"


@pytest.fixture
async def opened(servers: list[SocketServer], user: str) -> AsyncIterator[list[RawSocket]]:
    """A subscription of the user at each server."""
    token = make_token(SECRET, sub=user)
    async with connected(servers[0].ws()) as one, connected(servers[1].ws()) as other:
        for socket in (one, other):
            await socket.init({"authorization": f"Bearer {token}"})
            await socket.subscribe("1", NEWS)
            await socket.receive_type("next")
        yield [one, other]


async def typed(operator: Operator, *words: str) -> Ran:
    """A command, typed while the sockets go on here."""
    return await asyncio.to_thread(operator.done, *words)


async def test_what_is_open_is_listed_and_closed(operator: Operator, opened: list[RawSocket], user: str) -> None:
    async def listed() -> bool:
        return len((await typed(operator, "sockets", "--user", user, "--json")).json["items"]) == 2

    await until(listed, pause_seconds=0.2)
    rows = (await typed(operator, "sockets", "--user", user)).rows
    assert len({row[0] for row in rows}) == 2  # workers
    for _worker, _id, protocol, who, age, operations, *_ in rows:
        assert (protocol, who) == ("graphql_transport_ws", f"{user} at 127.0.0.1")
        assert age.isdigit()
        assert operations.startswith("News (")
    told = (await typed(operator, "sockets", "--json")).json
    assert told["open"] == {"graphql_transport_ws": 2}
    assert told["opened_last_minute"] >= 2
    assert (await asyncio.to_thread(operator, "sockets", "--address", "192.0.2.1")).err == "Nothing of it is open.\n"
    # One by its id, the other as all of a user.
    ran = await typed(operator, "sockets", "close", rows[0][1])
    assert ran.out == f"The connection {rows[0][1]} ends on all workers within a second.\n"
    done, going = await asyncio.wait(
        {asyncio.create_task(socket.ended(), name=str(number)) for number, socket in enumerate(opened)},
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert [(ended.result().code, ended.result().reason) for ended in done] == [(4503, "SHUTDOWN")]
    await typed(operator, "sockets", "close", "--user", user, "--code", "4400")
    assert [(await ended).code for ended in going] == [4400]


async def test_what_a_command_means_is_said(operator: Operator) -> None:
    for words in (["sockets", "close"], ["sockets", "close", "x", "--all"]):
        ran = await asyncio.to_thread(operator, *words)
        assert (ran.code, ran.out) == (2, "")
        assert "fraiseql-guard sockets close --all" in ran.err
    ran = await asyncio.to_thread(operator, "sockets", "drain", "no-worker")
    assert ran.code != 0
    assert "no worker says that it is no-worker" in ran.err


async def test_a_block_that_ends_what_is_open_says_so(
    servers: list[SocketServer], opened: list[RawSocket], user: str
) -> None:
    through = Operator({name_of("admin_token"): TOKEN}, ("--url", f"{servers[0].url}/admin"))
    ran = await typed(through, "block", "--user", user, "--for", "1m")
    assert "1 of its live connections ended there at once, others end within a second" in ran.out
    assert [(await socket.ended()).reason for socket in opened] == ["BLOCKED", "BLOCKED"]
    await typed(through, "unblock", "--user", user)
