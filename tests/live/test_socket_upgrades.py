"""How real servers answer upgrades: what passes, what each refusal is to a client, and how live sockets end.

docs/servers.md has a table of it, which is held against what is seen here.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.http2_socket import connected_over_http2
from tests.support.socket_client import ClosedError, RawSocket, RefusedError, connected
from tests.support.socket_servers import SERVERS, SocketServer, serving
from tests.support.waiting import until
from tools.docs import ROOT

# Servers and apps are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

APP = "tests.live.upgrade_app:guarded_upgrade_app"
HTTP2 = "hypercorn (HTTP/2)"
COLUMNS = {
    "uvicorn": "uvicorn (websockets-sansio)",
    "uvicorn-wsproto": "uvicorn (wsproto)",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "daphne": "daphne",
}
ENVIRONMENT = {
    "FRAISEQL_JWT_SECRET": SECRET,
    "FRAISEQL_GUARD_AUTH_PATHS": "/private",
    "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1/32",
    "FRAISEQL_GUARD_SOCKET_TOKEN_PARAMETER": "access_token",
    "FRAISEQL_GUARD_ADMIN_TOKENS": "alice=0123456789-0123456789-0123456789",
}
TOKEN = make_token(SECRET, sub="ada")
WRONG = make_token("another-hmac-secret-of-at-least-thirty-two-bytes", sub="ada")
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    folder = tmp_path_factory.mktemp("server")
    environment = {**ENVIRONMENT, "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log")}
    with serving(request.param, APP, folder, environment) as started:
        yield started


def told(server: SocketServer, path: str = "/told") -> dict[str, Any]:
    return httpx.get(f"{server.url}{path}", timeout=20, trust_env=False).raise_for_status().json()


def new_caller() -> dict[str, str]:
    """The header of a caller who was never here."""
    return {"x-forwarded-for": f"203.0.113.{next(NUMBERS)}"}


async def outcome(connecting: Any) -> str:
    """What a client is told of its upgrade; of one that is accepted, how it ends if it does not answer a ping."""
    try:
        async with connecting as socket:
            await socket.send({"type": "ping"})
            await socket.receive()
            return "opens"
    except ClosedError as closed:
        return str(closed)
    except RefusedError as refused:
        code = refused.code if refused.headers.get("content-type", "").startswith("application/") else ""
        return f"HTTP {refused.status} {code}".rstrip()


# --- A2: origins -----------------------------------------------------------------------------------------------------

EVIL = "http://evil.example"


@pytest.mark.parametrize(
    ("origin", "headers", "opens"),
    [
        (EVIL, {"cookie": "session=1"}, False),
        ("null", {"cookie": "session=1"}, False),
        (EVIL, {"authorization": f"Bearer {TOKEN}"}, False),
        (EVIL, {}, True),
        ("own", {"cookie": "session=1"}, True),
        (
            "https://api.example.org",
            {"x-forwarded-host": "api.example.org", "x-forwarded-proto": "https", "cookie": "session=1"},
            True,
        ),
        (None, {"cookie": "session=1"}, True),
    ],
)
async def test_a_foreign_page_opens_no_socket_in_its_visitors_name(
    server: SocketServer, origin: str | None, headers: dict[str, str], opens: bool
) -> None:
    before = told(server)
    origin = server.url if origin == "own" else origin
    seen = await outcome(connected(server.ws(), origin=origin, headers={**new_caller(), **headers}))
    assert seen.startswith("opens" if opens else "HTTP 403")
    after = told(server)
    assert after.get("CROSS_SITE_REQUEST", 0) - before.get("CROSS_SITE_REQUEST", 0) == (not opens)
    assert "brute_force" not in after


async def test_to_be_refused_for_its_page_costs_a_visitor_nothing(server: SocketServer) -> None:
    caller, foreign = new_caller(), {"cookie": "session=1"}
    for _ in range(130):
        with pytest.raises(RefusedError):
            async with connected(server.ws(), origin=EVIL, headers={**caller, **foreign}):
                pass
    assert await outcome(connected(server.ws(), headers=caller)) == "opens"


# --- A6: rates and room ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def held(server: SocketServer, number: int, headers: dict[str, str]) -> AsyncIterator[list[RawSocket]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(server.ws(), headers=headers)) for _ in range(number)]


async def test_the_21st_socket_is_accepted_and_closed_with_4503(server: SocketServer) -> None:
    caller = new_caller()
    async with held(server, 20, caller) as sockets:
        assert await outcome(connected(server.ws(), headers=caller)) == expected(server, "TOO_MANY_SOCKETS")
        assert await outcome(connected(server.ws(), headers=new_caller())) == "opens"
        await sockets[0].close()
        await until(lambda: told(server)["live"] <= 20)
        assert await outcome(connected(server.ws(), headers=caller)) == "opens"


async def test_upgrades_above_the_burst_are_closed_with_4503_and_are_no_offence(server: SocketServer) -> None:
    caller = new_caller()
    seen: list[str] = []
    while seen.count(expected(server, "RATE_LIMITED")) < 60:
        seen.append(await outcome(connected(server.ws(), headers=caller)))
    assert set(seen) == {"opens", expected(server, "RATE_LIMITED")}
    assert seen[:120] == ["opens"] * 120
    assert "rate_limit_abuse" not in told(server)


def expected(server: SocketServer, code: str) -> str:
    """A close with 4503 and its reason, which daphne does not pass on."""
    return "4503" if server.name == "daphne" else f"4503 {code}"


# --- A17: other sockets ----------------------------------------------------------------------------------------------


async def test_chat_passes_untouched_and_needs_a_token_where_paths_do(server: SocketServer) -> None:
    url, caller = server.ws("/private/ws"), new_caller()
    refused = "HTTP 403" if server.name == "daphne" else "HTTP 401 UNAUTHENTICATED"
    assert await outcome(connected(url, protocols=(), headers=caller)) == refused
    assert await outcome(connected(f"{url}?access_token={WRONG}", protocols=(), headers=caller)) == refused
    async with connected(f"{url}?access_token={TOKEN}", protocols=(), headers=caller) as socket:
        for number in range(1_000):
            await socket.send({"n": number, "text": "{nope \u00e4"})
            assert await socket.receive() == {"n": number, "text": "{nope \u00e4"}
        await socket.send_raw(b"\x00\xff")
        assert await socket.connection.recv() == b"\x00\xff"


async def test_a_live_one_ends_with_code_and_reason_and_its_app_is_told(server: SocketServer) -> None:
    async with connected(server.ws("/chat"), protocols=(), headers=new_caller()) as socket:
        await socket.send("hello")
        assert await socket.receive() == "hello"
        await asyncio.to_thread(told, server, "/end")
        closed = await socket.ended(5)
        assert (closed.code, closed.reason) == (4403, "" if server.name == "daphne" else "BLOCKED")
    await until(lambda: told(server)["live"] == 0)
    assert told(server)["heard"] == [4403, "BLOCKED"]


async def test_one_that_does_not_answer_the_close_ends_as_well(server: SocketServer) -> None:
    async with connected(server.ws("/chat"), protocols=(), headers=new_caller()) as socket:
        socket.connection.transport.pause_reading()
        await until(lambda: told(server)["live"] == 1)
        await asyncio.to_thread(told, server, "/end")
        await until(lambda: told(server)["live"] == 0)
        socket.abort()


# --- A18: no sockets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
async def test_where_sockets_are_refused_each_is_answered_403_counted_and_logged(name: str, tmp_path: Any) -> None:
    log = tmp_path / "guard.log"
    environment = {**ENVIRONMENT, "FRAISEQL_GUARD_SOCKETS": "refuse", "FRAISEQL_GUARD_LOG_FILE": str(log)}
    with serving(name, APP, tmp_path, environment) as server:
        seen = await outcome(connected(server.ws(), headers=new_caller()))
        assert seen == ("HTTP 403" if name == "daphne" else "HTTP 403 WEBSOCKET_REFUSED")
        assert told(server)["WEBSOCKET_REFUSED"] == 1
        assert await outcome(connected(server.ws("/chat"), protocols=(), headers=new_caller())) == "opens"
    assert log.read_text().count('"code":"WEBSOCKET_REFUSED"') == 1


# --- the table of docs/servers.md ------------------------------------------------------------------------------------

Look = Callable[[SocketServer, Any], Awaitable[str]]


def asked(path: str = "/graphql", **options: Any) -> Look:
    async def look(server: SocketServer, connect: Any) -> str:
        headers = {**new_caller(), **options.get("headers", {})}
        return await outcome(connect(server.ws(path), **{**options, "headers": headers}))

    return look


def beyond(number: int, path: str, **options: Any) -> Look:
    """The upgrade after so many that stay open."""

    async def look(server: SocketServer, connect: Any) -> str:
        headers = new_caller()
        async with AsyncExitStack() as stack:
            for _ in range(number):
                await stack.enter_async_context(connected(server.ws(path), headers=headers, **options))
            return await outcome(connect(server.ws(path), headers=headers, **options))

    return look


async def ended(server: SocketServer, connect: Any) -> str:
    async with connect(server.ws("/chat"), protocols=(), headers=new_caller()) as socket:
        await until(lambda: told(server)["live"] == 1)
        ending = asyncio.create_task(socket.ended(5))
        await asyncio.to_thread(told, server, "/end")
        closed = await ending
    await until(lambda: told(server)["live"] == 0)
    return f"{closed.code} {closed.reason}".rstrip()


async def heard(server: SocketServer, connect: Any) -> str:
    async with connect(server.ws("/chat"), protocols=(), headers=new_caller()) as socket:
        await socket.send("hello")
        await socket.receive()
        await socket.close(4321, "bye")
    await until(lambda: told(server)["live"] == 0)
    code, reason = told(server)["heard"]
    return f"{code} {reason or ''}".rstrip()


ROWS: dict[str, Look] = {
    "a page of a foreign origin, with a cookie": asked(headers={"cookie": "a=1", "origin": EVIL}),
    "no subprotocol that is accepted": asked(protocols=()),
    "a bad token in the head": asked(headers={"authorization": f"Bearer {WRONG}"}),
    "too many sockets on a GraphQL path": beyond(20, "/graphql"),
    "too many sockets elsewhere": beyond(20, "/chat", protocols=()),
    "a live socket whose caller is blocked": ended,
    "what the app hears of a client that closes with `4321 bye`": heard,
}


def documented(column: str) -> dict[str, str]:
    """A column of the table, by row."""
    lines = (ROOT / "docs/servers.md").read_text("utf-8").splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("| what a client meets"))
    names = _cells(lines[head])
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[head + 2 :])
    return {cells[0]: cells[names.index(column)] for cells in map(_cells, rows)}


def _cells(line: str) -> Sequence[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]


async def observed(server: SocketServer, connect: Any) -> dict[str, str]:
    return {row: await look(server, connect) for row, look in ROWS.items()}


async def test_the_documentation_says_what_this_server_does(server: SocketServer) -> None:
    assert documented(COLUMNS[server.name]) == await observed(server, connected)
    if server.name == "hypercorn":
        assert documented(HTTP2) == await observed(server, connected_over_http2)
