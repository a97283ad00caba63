"""Subscriptions of FraiseQL behind the guard, on a real uvicorn and a real PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fraiseql_guard.testing import make_token
from tests.support.processes import needs_fraiseql
from tests.support.socket_client import L, RawSocket, T, connected
from tests.support.socket_servers import ROOMY, SocketServer, serving
from tests.support.sse_client import streamed
from tests.support.waiting import until

pytestmark = needs_fraiseql

APPS = "tests.live.subscriptions_app"
SECRET = "a-secret-for-the-live-tests-of-32-bytes"
ADA = {"authorization": f"Bearer {make_token(SECRET, sub='ada')}"}
ORDERS = ("mounted_then_protected", "protected_then_mounted", "guard_added_later")
BOTH = pytest.mark.parametrize("protocol", [T, L])
DEEP = "{ who { " + "a { " * 40 + "b" + " }" * 40 + " } }"
WAITED_FOR = {"FRAISEQL_QUERY_TIMEOUT": "2", "FRAISEQL_GUARD_SLOW_QUERY_SECONDS": "0.3"}
COUNT = "subscription { count(to: 999, pauseSeconds: 0.2) }"
LIVES = ("fraiseql_response_time_seconds", "fraiseql_graphql_query_duration_seconds")


class Guarded:
    """A server, the database behind it, and the log of its guard."""

    def __init__(self, order: str, server: SocketServer, database: Any) -> None:
        self.order = order
        self.server = server
        self.database = database
        self.url = f"{server.url}/graphql"

    @property
    def user(self) -> str | None:
        """The user of ada's token in FraiseQL's own context: ``protect`` tells it, the guard alone does not."""
        return None if self.order == "guard_added_later" else "ada"

    def notify(self, channel: str, payload: str) -> None:
        self.database.execute("SELECT pg_notify(%s, %s)", (channel, payload))

    def sleeps(self) -> int:
        """How many statements PostgreSQL sleeps for."""
        statement = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
        return self.database.execute(statement).fetchone()[0]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The contexts of an event's lines so far."""
        written = (self.server.folder / "guard.log").read_text().splitlines(keepends=True)
        found = [json.loads(line) for line in written if line.endswith("\n")]
        return [line["context"] for line in found if line["event"] == event]


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        yield url


@pytest.fixture(scope="module", params=ORDERS)
def guarded(request: Any, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    import psycopg

    folder = tmp_path_factory.mktemp(request.param)
    environment = {
        **ROOMY, **WAITED_FOR, "FRAISEQL_JWT_SECRET": SECRET, "FRAISEQL_DATABASE_URL": database_url,
        "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log"),
    }  # fmt: skip
    with (
        serving("uvicorn", f"{APPS}:{request.param}", folder, environment) as server,
        psycopg.connect(database_url, autocommit=True) as database,
    ):
        yield Guarded(request.param, server, database)


def error_of(payload: Any) -> Any:
    """The first error of an ``error`` message of either protocol."""
    return payload[0] if isinstance(payload, list) else payload


async def next_of(socket: RawSocket, number: str, kinds: tuple[str, ...] = ("next", "data", "error")) -> Any:
    """The next message of one operation that is of these kinds; those of others are passed over."""
    while True:
        message = await socket.receive()
        if message.get("id") == number and message["type"] in kinds:
            return message


# --- who asks, and what is refused -----------------------------------------------------------------------------------


@BOTH
async def test_operations_have_the_user_and_a_request_id_of_their_own(guarded: Guarded, protocol: str) -> None:
    found = []
    async with connected(guarded.server.ws(), protocols=(protocol,)) as socket:
        await socket.init(ADA)
        for number, field in enumerate(("whoIsIt", "whoIsIt", "who")):
            document = f"{{ {field} {{ userId requestId deadline }} }}"
            document = document if field == "who" else f"subscription {document}"
            (answer,) = await socket.ask(document, number=str(number))
            found.append(answer["data"][field])
    assert [each["userId"] for each in found] == [guarded.user] * 3
    assert len({each["requestId"] for each in found}) == 3
    *subscriptions, query = found
    assert [each["deadline"] for each in subscriptions] == [None, None]
    assert 0 < query["deadline"] <= 2


async def test_a_stream_has_the_user_and_the_request_id_of_its_answer(guarded: Guarded) -> None:
    async with streamed(guarded.url, "subscription { whoIsIt { userId requestId } }", headers=ADA) as stream:
        assert stream.status == 200, await stream.response.aread()
        (only,) = await stream.payloads()
    told = only["data"]["whoIsIt"]
    assert told == {"userId": guarded.user, "requestId": stream.response.headers["x-request-id"]}


@BOTH
async def test_what_is_not_allowed_does_not_reach_fraiseql(guarded: Guarded, protocol: str) -> None:
    server = guarded.server
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        await socket.init(ADA)
        (errors,) = await socket.ask(DEEP)
        assert error_of(errors)["extensions"]["code"] == "QUERY_TOO_DEEP"
        (errors,) = await socket.ask("query A { who { tenant } } subscription B { silent }", operationName="A")
        assert error_of(errors)["extensions"]["code"] == "GRAPHQL_INVALID"
        assert await socket.ask("subscription { count(to: 1) }") == [{"data": {"count": 1}}]
    for payload, code in ((None, 4403), ({"authorization": "Bearer a.b.c"}, 4401)):
        async with connected(server.ws(), protocols=(protocol,)) as socket:
            await socket.init(payload, ack=False)
            assert (await socket.ended()).code == code
    assert "silent" not in server.probe()["begun"]


async def test_over_http_and_events_nothing_passes_without_a_token(guarded: Guarded) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(guarded.url, json={"query": "subscription { count(to: 1) }"})
    assert answer.status_code == 401
    async with streamed(guarded.url, "subscription { count(to: 1) }") as stream:
        (only,) = await stream.payloads()
    assert only["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@BOTH
async def test_what_postgresql_notifies_reaches_a_socket(guarded: Guarded, protocol: str) -> None:
    channel = f"c{uuid4().hex}"
    async with connected(guarded.server.ws(), protocols=(protocol,)) as socket:
        await socket.init(ADA)
        await socket.subscribe("1", f'subscription {{ heard(channel: "{channel}") }}')
        assert (await next_of(socket, "1"))["payload"] == {"data": {"heard": "listening"}}
        for text in ("one", "two"):
            guarded.notify(channel, text)
            assert (await next_of(socket, "1"))["payload"] == {"data": {"heard": text}}


async def test_what_postgresql_notifies_reaches_a_stream(guarded: Guarded) -> None:
    channel = f"c{uuid4().hex}"
    async with streamed(guarded.url, f'subscription {{ heard(channel: "{channel}") }}', headers=ADA) as stream:
        assert (await stream.next()).json == {"data": {"heard": "listening"}}
        for text in ("one", "two"):
            guarded.notify(channel, text)
            assert (await stream.next()).json == {"data": {"heard": text}}


@BOTH
async def test_a_statement_ends_with_the_time_of_its_operation_alone(guarded: Guarded, protocol: str) -> None:
    channel = f"c{uuid4().hex}"
    stopped = len(guarded.lines("database.query_timeout"))
    async with connected(guarded.server.ws(), protocols=(protocol,)) as socket:
        await socket.init(ADA)
        await socket.subscribe("s", f'subscription {{ heard(channel: "{channel}") }}')
        await next_of(socket, "s")
        await socket.subscribe("q", "query Late { sleep(seconds: 600) { tenant } }")
        await until(guarded.sleeps)
        message, told_at = await next_of(socket, "q"), time.monotonic()
        assert message["type"] == "error"
        extensions = error_of(message["payload"])["extensions"]
        assert extensions["code"] == "QUERY_TIMEOUT"
        await until(lambda: not guarded.sleeps())
        print(f"PostgreSQL has stopped {time.monotonic() - told_at:.3f} s after the answer")
        guarded.notify(channel, "still here")
        assert (await next_of(socket, "s"))["payload"] == {"data": {"heard": "still here"}}
        await socket.subscribe("r", "{ who { tenant } }")
        assert (await next_of(socket, "r"))["payload"]["data"]["who"]["tenant"] == "none"
    await until(lambda: len(guarded.lines("database.query_timeout")) > stopped)
    (line,) = guarded.lines("database.query_timeout")[stopped:]
    assert (line["request_id"], line["operation"], line["user_id"]) == (extensions["requestId"], "Late", "ada")
    assert line["timeout_ms"] == 2000


@pytest.mark.parametrize("guarded", ORDERS[:2], indirect=True)  # protect() looks at the database, too
async def test_slow_statements_are_told_with_the_request_id_of_their_operation(guarded: Guarded) -> None:
    slow = len(guarded.lines("database.slow_query"))
    async with connected(guarded.server.ws()) as socket:
        await socket.init(ADA)
        for number in ("1", "2"):
            await socket.subscribe(number, "query Slow { sleep(seconds: 0.4) { requestId } }")
        messages = [await socket.receive() for _ in range(4)]
    ids = [each["payload"]["data"]["sleep"]["requestId"] for each in messages if each["type"] == "next"]
    await until(lambda: len(guarded.lines("database.slow_query")) >= slow + 2)
    told = guarded.lines("database.slow_query")[slow:]
    assert sorted(line["request_id"] for line in told) == sorted(ids)
    assert len(set(ids)) == 2


async def test_at_the_end_nothing_is_left(guarded: Guarded) -> None:
    server = guarded.server
    for each in ("fraiseql_guard_sockets", "fraiseql_guard_subscriptions", "fraiseql_guard_in_flight"):
        await until(lambda each=each: server.metric(each) == 0)
    before, tasks = slow(server), server.probe()["tasks"]
    for _ in range(4):  # clients that vanish while they subscribe
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(connected(server.ws(), headers=ADA)) for _ in range(5)]
            for socket in sockets:
                await socket.init()
            for socket in sockets:
                for number in range(5):
                    await socket.subscribe(str(number), COUNT)
                socket.abort()
    # Else there may be no place for the next: what waits for one holds none, and ends with its socket.
    for each in ("fraiseql_guard_sockets", "fraiseql_guard_subscriptions", "fraiseql_guard_in_flight"):
        await until(lambda each=each: server.metric(each) == 0)
    async with connected(server.ws(), headers=ADA) as socket, streamed(guarded.url, COUNT, headers=ADA) as stream:
        await socket.init()
        await socket.subscribe("1", COUNT)
        await socket.subscribe("2", 'subscription { heard(channel: "any") }')
        for _ in range(15):
            await stream.next()
        await until(lambda: server.metric("fraiseql_guard_subscriptions") == 3)
        socket.abort()
    await until(lambda: (app := server.probe())["begun"] == app["ended"] and app["tasks"] <= tasks + 2)
    for each in ("fraiseql_guard_sockets", "fraiseql_guard_subscriptions", "fraiseql_guard_in_flight"):
        await until(lambda each=each: server.metric(each) == 0)
    assert slow(server) == before
    assert server.metric("fraiseql_guard_faults_total") == 0


def slow(server: SocketServer) -> list[float]:
    """How many requests took longer than 2.5 s."""
    return [server.metric(f"{name}_count") - server.metric(f"{name}_bucket", le="2.5") for name in LIVES]
