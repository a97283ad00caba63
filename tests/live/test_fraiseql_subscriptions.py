"""The subscriptions of a FraiseQL app on a real uvicorn and a real PostgreSQL, mostly without a guard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import needs_fraiseql
from tests.support.socket_client import L, RefusedError, T, connected
from tests.support.socket_servers import SocketServer, serving
from tests.support.sse_client import streamed
from tests.support.waiting import until

pytestmark = needs_fraiseql

APPS = "tests.live.subscriptions_app"
SECRET = "a-secret-for-the-live-tests-of-32-bytes"
BOTH = pytest.mark.parametrize("protocol", [T, L])
ID = "6f1b9b52-7c5e-4c6e-9c5b-3f1f9f1a2b3c"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    from examples.fraiseql_blog.database import running_database

    with running_database() as url:
        yield url


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    environment = {"FRAISEQL_DATABASE_URL": database}
    with serving("uvicorn", f"{APPS}:bare", tmp_path_factory.mktemp("bare"), environment) as started:
        yield started


@pytest.fixture(scope="module")
def strict(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    """Whose FraiseQL has an auth provider."""
    environment = {"FRAISEQL_DATABASE_URL": database, "FRAISEQL_ENVIRONMENT": "production"}
    with serving("uvicorn", f"{APPS}:with_provider", tmp_path_factory.mktemp("strict"), environment) as started:
        yield started


def ended(server: SocketServer, name: str) -> int:
    return server.probe()["ended"].get(name, 0)


@BOTH
async def test_queries_and_subscriptions_are_answered(server: SocketServer, protocol: str) -> None:
    async with connected(server.ws(), protocols=(protocol,), headers={"x-tenant": "acme"}) as socket:
        assert socket.protocol == protocol
        await socket.init({})
        (found,) = await socket.ask("{ who { tenant userId } }")
        assert found["data"]["who"] == {"tenant": "acme", "userId": None}
        assert await socket.ask("subscription { count(to: 3) }") == [{"data": {"count": n}} for n in (1, 2, 3)]
        # The context is the one that a request's resolvers get.
        assert await socket.ask("subscription { whoIsIt { tenant userId } }") == [
            {"data": {"whoIsIt": {"tenant": "acme", "userId": None}}}
        ]
        assert await socket.ask("subscription { rows }") == [{"data": {"rows": 7}}]


async def test_operations_run_beside_each_other(server: SocketServer) -> None:
    async with connected(server.ws()) as socket:
        await socket.init()
        await socket.subscribe("slow", "{ wait(seconds: 0.5) { tenant } }")
        await socket.subscribe("quick", "{ who { tenant } }")
        assert [(await socket.receive())["id"] for _ in range(4)] == ["quick", "quick", "slow", "slow"]


async def test_names_variables_and_arguments(server: SocketServer) -> None:
    document = "subscription A($n: Int!) { count(to: $n) } subscription B { silent }"
    async with connected(server.ws()) as socket:
        await socket.init()
        asked = {"variables": {"n": 1}, "operationName": "A"}
        assert await socket.ask(document, **asked) == [{"data": {"count": 1}}]
        (errors,) = await socket.ask(document)
        assert "name one" in errors[0]["message"]
        (errors,) = await socket.ask(document, operationName="C")
        assert "No operation is C" in errors[0]["message"]
        found = await socket.ask(f'subscription {{ samples(id: "{ID}") {{ id at name }} }}')
        at = "2026-01-01T00:00:00Z"
        assert found == [{"data": {"samples": {"id": ID, "at": at, "name": None}}}]


@BOTH
async def test_ids_and_values_come_back_as_they_were_sent(server: SocketServer, protocol: str) -> None:
    big, half, deep = 2**70, "\ud800", "[" * 100_000
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        await socket.init()
        for number in (half, 'a "quoted" one', "\u2028", "é", "x" * 300):
            await socket.subscribe(number, "subscription { count(to: 1) }")
            assert [(await socket.receive())["id"] for _ in range(2)] == [number, number]
        (errors,) = await socket.ask("subscription($n: Int!) { count(to: $n) }", variables={"n": big}, number="2")
        assert str(big) in (errors[0] if protocol == T else errors)["message"]
        (errors,) = await socket.ask("subscription($n: Int!) { count(to: $n) }", variables={"n": half}, number="3")
        assert (errors[0] if protocol == T else errors)["message"]
        await socket.send_raw(f'{{"type": "connection_init", "payload": {deep}')
        assert (await socket.ended()).code == 4400


@BOTH
@pytest.mark.parametrize(
    "document", ["{ nope }", "subscription { nope }", "subscription {", "subscription { count }", "{ who { nope } }"]
)
async def test_an_invalid_document_is_an_error(server: SocketServer, protocol: str, document: str) -> None:
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        await socket.init()
        await socket.subscribe("1", document)
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("error", "1")
        errors = message["payload"] if protocol == T else [message["payload"]]
        assert errors[0]["message"]
        # The id is free, and the socket lives.
        assert await socket.ask("subscription { count(to: 1) }") == [{"data": {"count": 1}}]


@BOTH
async def test_an_error_inside_the_stream_ends_it(server: SocketServer, protocol: str) -> None:
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        await socket.init()
        first, last = await socket.ask("subscription { failing(after: 1) }")
        assert first == {"data": {"failing": 1}}
        assert (last[0] if protocol == T else last)["message"] == "the stream broke"
        (errors,) = await socket.ask("subscription { refusing }", number="2")
        extensions = (errors[0] if protocol == T else errors)["extensions"]
        assert extensions == {"code": "FORBIDDEN", "rule": "<class 'object'>"}


@BOTH
@pytest.mark.parametrize("field", ["silent", "count(to: 100000, pauseSeconds: 0.01)", "slowToClose"])
async def test_a_client_ends_one_operation(server: SocketServer, protocol: str, field: str) -> None:
    name = field.partition("(")[0].replace("slowToClose", "slow_to_close")
    before, begun = ended(server, name), server.probe()["begun"].get(name, 0)
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        await socket.init()
        await socket.subscribe("1", f"subscription {{ {field} }}")
        await socket.subscribe("2", "subscription { count(to: 100000, pauseSeconds: 0.01) }")
        await until(lambda: name == "slow_to_close" or server.probe()["begun"].get(name, 0) > begun)
        while (await socket.receive())["id"] != "2" or (name == "slow_to_close" and ended(server, name) > before):
            pass
        await socket.complete("1")
        await until(lambda: ended(server, name) == before + 1)
        await socket.receive_type("next" if protocol == T else "data")  # the other one goes on
        await socket.subscribe("1", "subscription { count(to: 1) }")  # the id is free
        while (await socket.receive())["id"] != "1":
            pass


@pytest.mark.parametrize("aborts", [True, False], ids=["TCP reset", "close frame"])
async def test_a_client_that_leaves_leaves_nothing_behind(server: SocketServer, aborts: bool) -> None:
    tasks = server.probe()["tasks"]
    before = {name: ended(server, name) for name in ("silent", "count", "slow_to_close", "wait", "flood")}
    async with connected(server.ws()) as socket:
        await socket.init()
        for number, document in enumerate(
            [
                "subscription { silent }", "subscription { count(to: 100000, pauseSeconds: 0.01) }",
                "subscription { slowToClose }", "{ wait(seconds: 600) { tenant } }", "subscription { flood }",
            ]
        ):  # fmt: skip
            await socket.subscribe(str(number), document)
        while (await socket.receive())["id"] != "4":
            pass
        socket.abort() if aborts else await socket.close()
    for name, count in before.items():
        await until(lambda name=name, count=count: ended(server, name) == count + 1)
    assert server.probe()["cancelled"]["wait"]
    await until(lambda: server.probe()["tasks"] <= tasks)


async def test_sockets_that_are_aborted_while_subscribing_leak_nothing(server: SocketServer) -> None:
    tasks = server.probe()["tasks"]

    async def one() -> None:
        async with connected(server.ws()) as socket:
            await socket.init()
            for number in range(5):
                await socket.subscribe(str(number), "subscription { silent }")
            socket.abort()

    for _ in range(5):
        await asyncio.gather(*(one() for _ in range(10)))
    await until(lambda: server.probe()["tasks"] <= tasks)
    told = server.probe()
    assert told["begun"]["silent"] == told["ended"]["silent"]


INIT = {"type": "connection_init"}
PROBLEMS: dict[str, tuple[list[Any], int]] = {
    "subscribe before init": ([{"type": "subscribe", "id": "1", "payload": {"query": "{ who { tenant } }"}}], 4401),
    "init twice": ([INIT, INIT], 4429),
    "an id twice": (
        [INIT, *[{"type": "subscribe", "id": "1", "payload": {"query": "subscription { silent }"}}] * 2],
        4409,
    ),
    "an unknown type": ([INIT, {"type": "start", "id": "1", "payload": {"query": "{a}"}}], 4400),
    "no type": ([{"id": "1"}], 4400),
    "no object": ([[]], 4400),
    "null": ([None], 4400),
    "no JSON": (["{nope"], 4400),
    "binary": ([b'{"type":"connection_init"}'], 4400),
    "no id": ([INIT, {"type": "subscribe", "payload": {"query": "{a}"}}], 4400),
    "a number for an id": ([INIT, {"type": "subscribe", "id": 1, "payload": {"query": "{a}"}}], 4400),
    "no payload": ([INIT, {"type": "subscribe", "id": "1"}], 4400),
}  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS)
async def test_what_the_protocol_forbids_closes_the_socket(server: SocketServer, problem: str) -> None:
    messages, code = PROBLEMS[problem]
    async with connected(server.ws()) as socket:
        for message in messages:
            await socket.send_raw(message if isinstance(message, str | bytes) else json.dumps(message))
        assert (await socket.ended()).code == code


async def test_the_older_protocol_needs_init_too(server: SocketServer) -> None:
    async with connected(server.ws(), protocols=(L,)) as socket:
        await socket.subscribe("1", "subscription { count(to: 1) }")
        assert (await socket.ended()).code == 4401
    # What comes right behind the init is served.
    async with connected(server.ws(), protocols=(L,)) as socket:
        await socket.init(ack=False)
        await socket.subscribe("1", "subscription { count(to: 1) }")
        assert [(await socket.receive())["type"] for _ in range(3)] == ["connection_ack", "data", "complete"]
        await socket.send({"type": "connection_terminate"})
        assert (await socket.ended()).code == 1000


async def test_an_init_that_does_not_come_ends_the_socket(database: str, tmp_path: Path) -> None:
    with serving("uvicorn", f"{APPS}:impatient", tmp_path, {"FRAISEQL_DATABASE_URL": database}) as server:
        async with connected(server.ws()) as socket:
            await socket.send({"type": "ping"})
            assert (await socket.ended()).code == 4408
        async with connected(server.ws()) as socket:
            await socket.init()
            with pytest.raises(TimeoutError):
                await socket.receive(0.8)


async def test_each_operation_has_the_context_of_its_message(database: str, tmp_path: Path) -> None:
    with serving("uvicorn", f"{APPS}:marked", tmp_path, {"FRAISEQL_DATABASE_URL": database}) as server:
        async with connected(server.ws()) as socket:
            await socket.init()  # message 0
            await socket.subscribe("1", "{ wait(seconds: 0.3) { marks } }")
            await socket.subscribe("2", "subscription { whoIsIt { marks } }")
            await socket.subscribe("3", "{ who { marks } }")
            found = [await socket.receive() for _ in range(6)]
        marks = {
            each["id"]: next(iter(each["payload"]["data"].values()))["marks"] for each in found if "payload" in each
        }
        assert marks == {"1": ["1", "1"], "2": ["2", "2"], "3": ["3", "3"]}


async def test_pings_are_answered(server: SocketServer) -> None:
    async with connected(server.ws()) as socket:
        await socket.send({"type": "ping", "payload": {"n": 1}})
        assert await socket.receive() == {"type": "pong", "payload": {"n": 1}}
        await socket.init()
        await socket.send({"type": "pong"})
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}


async def test_the_newer_protocol_is_chosen_and_another_refused(server: SocketServer) -> None:
    async with connected(server.ws(), protocols=(L, T)) as socket:
        assert socket.protocol == T
    for offer in ((), ("mqtt",)):
        with pytest.raises(RefusedError) as refused:
            async with connected(server.ws(), protocols=offer):
                pass
        assert refused.value.status == 403


@pytest.mark.parametrize("get", [True, False], ids=["GET", "POST"])
async def test_subscriptions_come_as_events(server: SocketServer, get: bool) -> None:
    url = f"{server.url}/graphql"
    async with streamed(url, "subscription($n: Int!) { count(to: $n) }", get=get, variables={"n": 2}) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert await stream.payloads() == [{"data": {"count": n}} for n in (1, 2)]
    async with streamed(url, "subscription { failing(after: 1) }", get=get) as stream:
        first, last = await stream.payloads()
        assert first == {"data": {"failing": 1}}
        assert last["errors"][0]["message"] == "the stream broke"
    async with streamed(url, "subscription { nope }", get=get) as stream:
        (only,) = await stream.payloads()
        assert "nope" in only["errors"][0]["message"]


async def test_a_client_that_drops_the_stream_closes_the_generator(server: SocketServer) -> None:
    before = ended(server, "silent"), ended(server, "count")
    for document in ("subscription { silent }", "subscription { count(to: 100000, pauseSeconds: 0.01) }"):
        async with streamed(f"{server.url}/graphql", document) as stream:
            assert stream.status == 200
    await until(lambda: (ended(server, "silent"), ended(server, "count")) == (before[0] + 1, before[1] + 1))


async def test_other_requests_are_answered_by_fraiseql(server: SocketServer) -> None:
    url, query = f"{server.url}/graphql", {"query": "{ who { tenant } }"}
    expected = {"who": {"tenant": "none"}}
    async with httpx.AsyncClient(trust_env=False) as client:
        for accept in (
            "application/json",
            "*/*",
            "text/event-stream, application/json",
            "text/event-stream, */*;q=0.1",
        ):
            answer = await client.post(url, json=query, headers={"accept": accept})
            assert (answer.headers["content-type"], answer.json()["data"]) == ("application/json", expected)
            assert (await client.post(url, content=b"{nope", headers={"accept": accept})).status_code == 422
        assert (await client.get(url, params=query)).json()["data"] == expected
    # One that reads nothing but events gets them.
    async with streamed(url, query["query"]) as stream:
        (only,) = await stream.payloads()
        assert only["data"] == expected


async def test_the_token_of_init_reaches_the_auth_provider(strict: SocketServer) -> None:
    for payload in (
        {"authorization": "Bearer ada"},
        {"headers": {"Authorization": "Bearer ada"}},
        {"authToken": "ada"},
    ):
        async with connected(strict.ws()) as socket:
            await socket.init(payload)
            (found,) = await socket.ask("{ who { userId } }")
            assert found["data"]["who"]["userId"] == "ada"
            (found,) = await socket.ask("subscription { whoIsIt { userId } }")
            assert found["data"]["whoIsIt"]["userId"] == "ada"
    # The head of the upgrade has the last word.
    async with connected(strict.ws(), headers={"authorization": "Bearer bob"}) as socket:
        await socket.init({"authorization": "Bearer ada"})
        (found,) = await socket.ask("subscription { whoIsIt { userId } }")
        assert found["data"]["whoIsIt"]["userId"] == "bob"


async def test_without_a_token_an_auth_provider_refuses(strict: SocketServer) -> None:
    async with connected(strict.ws()) as socket:
        await socket.init()
        for document in ("{ who { userId } }", "subscription { whoIsIt { userId } }"):
            (errors,) = await socket.ask(document)
            assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with streamed(f"{strict.url}/graphql", "subscription { count(to: 1) }") as stream:
        (only,) = await stream.payloads()
        assert only["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_in_production_errors_tell_nothing(strict: SocketServer) -> None:
    async with connected(strict.ws(), headers={"authorization": "Bearer ada"}) as socket:
        await socket.init()
        for document in ("subscription { nope }", "subscription { failing(after: 0) }", "{ nope }"):
            (errors,) = await socket.ask(document)
            assert errors == [{"message": "Internal server error", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]


async def test_dependencies_are_closed_at_the_end_of_an_operation(strict: SocketServer) -> None:
    async with connected(strict.ws(), headers={"authorization": "Bearer ada"}) as socket:
        await socket.init()
        before, begun = ended(strict, "database"), strict.probe()["begun"].get("database", 0)
        await socket.subscribe("1", "subscription { silent }")
        await until(lambda: strict.probe()["begun"].get("database", 0) == begun + 1)
        assert ended(strict, "database") == before
        await socket.complete("1")
        await until(lambda: ended(strict, "database") == before + 1)


@pytest.mark.parametrize("name", ["uvicorn-wsproto", "hypercorn", "granian"])
async def test_other_servers_carry_them_too(database: str, tmp_path: Path, name: str) -> None:
    with serving(name, f"{APPS}:bare", tmp_path, {"FRAISEQL_DATABASE_URL": database}) as server:
        async with connected(server.ws()) as socket:
            await socket.init()
            (found,) = await socket.ask("{ who { tenant } }")
            assert found["data"]["who"]["tenant"] == "none"
            assert await socket.ask("subscription { count(to: 2) }") == [{"data": {"count": n}} for n in (1, 2)]
            await socket.subscribe("1", "subscription { silent }")
            await until(lambda: server.probe()["begun"].get("silent"))
            socket.abort()
        await until(lambda: ended(server, "silent") == 1)
        async with streamed(f"{server.url}/graphql", "subscription { count(to: 2) }") as stream:
            assert await stream.payloads() == [{"data": {"count": n}} for n in (1, 2)]
