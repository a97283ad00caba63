"""Streams of Starlette and Strawberry behind the guard on a real server: how long they last, and how they end."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from graphql import build_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from fraiseql_guard.asgi.sockets.registry import BLOCKED_CALLER, TOKEN_OVER
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.support.in_loop import hypercorn_serves, uvicorn_serves
from tests.support.socket_apps import strawberry_app
from tests.support.socket_schema import SDL, Observed
from tests.support.sse_client import SSEStream, streamed
from tests.support.waiting import until

LONG = 30.0


class Ticks:
    """Sends events after the pauses given, and notes how it ended."""

    def __init__(self, pauses: list[float]) -> None:
        self.pauses = pauses
        self.ended: str | None = None
        self.over = asyncio.Event()

    async def events(self) -> AsyncIterator[bytes]:
        try:
            for pause in self.pauses:
                await asyncio.sleep(pause)
                yield b"data: 1\n\n"
            self.ended = "finished"
        finally:
            self.ended = self.ended or "stopped"
            self.over.set()

    async def page(self, request: Request) -> StreamingResponse:
        await request.body()
        return StreamingResponse(self.events(), media_type="text/event-stream")


async def ask(
    port: int, query: str, *, limit: int = 2**16, **headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send an operation; ``limit`` is how much of the answer is read before it is asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    body = json.dumps({"query": query}).encode()
    known = {"Host": "test", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in known.items())
    writer.write(f"POST /graphql HTTP/1.1\r\n{head}\r\n".encode() + body)
    return reader, writer


def mounted(guarded, ticks: Ticks, **options):
    app = Starlette(routes=[Route("/graphql", ticks.page, methods=["POST"])])
    return guarded(app, rate_limit_default="100000/minute", **options)


@pytest.mark.parametrize("pauses", [[LONG], [0, 0, LONG]], ids=["at the first byte", "in the middle"])
async def test_a_stream_that_stalls_is_cut_so_that_the_client_can_tell(guarded, pauses) -> None:
    ticks = Ticks(pauses)
    guard = mounted(guarded, ticks, stream_idle_seconds=0.5)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await ask(port, "{users{id}}")
        answer = await asyncio.wait_for(reader.read(), LONG / 2)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"data: 1") == len(pauses) - 1
    assert not answer.endswith(b"0\r\n\r\n")  # the last chunk never came: the answer is not whole
    assert ticks.ended == "stopped"
    assert guard.metric("fraiseql_errors_total", error_code="STREAM_SILENT") == 1
    assert guard.lines("database.query_timeout") == []


@pytest.mark.parametrize("pauses", [[0.01, LONG], [0.02] * 1000], ids=["while it is silent", "while it sends"])
@pytest.mark.parametrize(("query", "errors"), [("{users{id}}", 1), ("subscription{ticks{id}}", 0)])
async def test_a_client_that_leaves_stops_it(guarded, pauses, query, errors) -> None:
    ticks = Ticks(pauses)
    guard = mounted(guarded, ticks)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await ask(port, query)
        await asyncio.wait_for(reader.readuntil(b"data: 1"), LONG / 2)
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.wait_for(ticks.over.wait(), LONG / 2)
    assert ticks.ended == "stopped"
    assert guard.metric("fraiseql_graphql_queries_errors") == errors  # so a subscription ends
    assert guard.metric("fraiseql_graphql_queries_success") == 1 - errors


async def test_a_stream_that_ends_by_itself_is_whole(guarded) -> None:
    ticks = Ticks([0.05] * 5)
    guard = mounted(guarded, ticks, query_timeout=5, stream_idle_seconds=10)
    async with uvicorn_serves(guard, lifespan="on") as port:
        reader, writer = await ask(port, "{users{id}}")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), LONG / 2)
        writer.close()
    assert answer.count(b"data: 1") == 5
    assert ticks.ended == "finished"
    assert guard.metric("fraiseql_graphql_queries_success") == 1


# --- Strawberry ------------------------------------------------------------------------------------------------------

MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json'
SILENT, TICKS = "subscription{silent}", "subscription{ticks(interval:0.05)}"
SERVERS = pytest.mark.parametrize("serves", [uvicorn_serves, hypercorn_serves], ids=["uvicorn", "hypercorn"])


def strawberry(guarded: Callable[..., Guarded], **options: Any) -> tuple[Guarded, Observed]:
    app = strawberry_app()
    guard = guarded(app, schema=build_schema(SDL), **{"rate_limit_default": "100000/minute", **options})
    return guard, app._observed  # noqa: SLF001 - what /probe tells


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/graphql"


async def plain(port: int, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url(port), json={"query": "{me{id}}"}, headers=headers)


def live(guard: Guarded) -> Any:
    return guard.guard.runtime.live


async def test_a_hundred_subscriptions_leave_the_pool_to_queries(guarded) -> None:
    guard, observed = strawberry(guarded, database_pool_size=10, max_in_flight=100)
    async with uvicorn_serves(guard) as port, AsyncExitStack() as clients:
        for _ in range(100):
            stream = await clients.enter_async_context(streamed(url(port), TICKS))
            assert (stream.status, (await stream.next()).name) == (200, "next")
        assert (await plain(port)).json() == {"data": {"me": {"id": "anonymous"}}}
        guard.guard.runtime.publish()
        assert guard.metric("fraiseql_guard_subscriptions", transport="sse") == 100
        assert (guard.guard.runtime.concurrency.at_work, len(live(guard))) == (0, 100)
        refused = await clients.enter_async_context(streamed(url(port), TICKS))
        assert refused.status == 429
        assert (await refused.response.aread()).count(b"TOO_MANY_SUBSCRIPTIONS") == 1
        await clients.aclose()
        await until(lambda: observed.ended["ticks"] == 100)
        await until(lambda: not live(guard))
    assert not guard.guard.reloader.components.at_work.subscriptions
    assert guard.metric("fraiseql_graphql_queries_errors") == 0


async def test_a_refusal_is_one_result_and_the_end(guarded) -> None:
    guard, observed = strawberry(guarded, max_query_depth=2)
    async with uvicorn_serves(guard) as port, streamed(url(port), "{me{friend{friend{id}}}}") as stream:
        assert stream.status == 200
        (payload,) = await stream.payloads()
        with pytest.raises(EOFError):
            await stream.event()
    assert payload["errors"][0]["extensions"]["code"] == "QUERY_TOO_DEEP"
    assert not observed.begun


@SERVERS
async def test_a_silent_subscription_lives_on_and_shows_it(guarded, serves) -> None:
    guard, observed = strawberry(guarded, query_timeout=0.5, stream_idle_seconds=0.2, stream_heartbeat_seconds=0.05)
    async with serves(guard) as port:
        async with streamed(url(port), SILENT) as stream:
            beats = [await stream.event() for _ in range(20)]
            assert {(beat.name, beat.data) for beat in beats} == {(":", "")}
            assert (observed.begun["silent"], observed.ended["silent"]) == (1, 0)
        await until(lambda: observed.ended["silent"] == 1)
    assert guard.metric("fraiseql_guard_subscription_events_total") == 0


async def test_over_multipart_it_shows_life_by_empty_parts(guarded) -> None:
    guard, observed = strawberry(guarded, stream_heartbeat_seconds=0.05)
    query = "subscription{count(to:3,pause:0.4)}"
    async with uvicorn_serves(guard) as port, httpx.AsyncClient(trust_env=False, timeout=LONG) as client:
        answer = (await client.post(url(port), json={"query": query}, headers={"accept": MULTIPART})).content
    *parts, _, _ = answer.split(b"\r\n--graphql")
    results = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in parts]
    assert [each["payload"]["data"]["count"] for each in results if each] == [1, 2, 3]
    assert results.count({}) > 3
    assert answer.endswith(b"\r\n--graphql--\r\n")
    assert guard.metric("fraiseql_guard_subscription_events_total") == 3
    assert observed.ended["count"] == 1


@SERVERS
async def test_a_block_is_told_and_the_end_of_a_token_cuts_the_stream(guarded, serves) -> None:
    guard, observed = strawberry(guarded)
    async with serves(guard) as port, streamed(url(port), TICKS) as told, streamed(url(port), TICKS) as cut:
        for stream in (told, cut):
            assert (await stream.next()).json == {"data": {"ticks": 1}}
        first, second = live(guard)
        first.end(BLOCKED_CALLER)
        second.end(TOKEN_OVER)
        *_, last = await told.payloads()
        assert last["errors"][0]["extensions"]["code"] == "BLOCKED"
        with pytest.raises(EOFError):
            await cut.payloads()  # there is no complete
        await until(lambda: observed.ended["ticks"] == 2)
    assert [line["context"]["reason"] for line in guard.lines("guard.subscription_ended")] == [
        "blocked", "token_expired",
    ]  # fmt: skip


def collected(ended: Counter[str], name: str) -> bool:
    """Whether a generator has ended: Starlette leaves one to the garbage collector whose message is not taken."""
    gc.collect()
    return ended[name] == 1


@SERVERS
async def test_a_client_that_does_not_read_is_cut_and_the_others_go_on(guarded, serves) -> None:
    guard, observed = strawberry(guarded, socket_send_seconds=0.5)
    async with serves(guard) as port:
        async with streamed(url(port), TICKS) as other:
            await other.next()
            _, writer = await ask(port, "subscription{big(kilobytes:64)}", limit=1, Accept="text/event-stream")
            await until(lambda: collected(observed.ended, "big"), pause_seconds=0.1)
            await other.next()
            assert len(live(guard)) == 1
        writer.transport.abort()
    assert guard.metric("fraiseql_guard_refusals_total", code="SLOW_CONSUMER") == 1


async def test_single_connection_mode_is_refused(guarded) -> None:
    guard, _ = strawberry(guarded)
    async with uvicorn_serves(guard) as port, httpx.AsyncClient(trust_env=False) as client:
        for method in ("PUT", "DELETE"):
            answer = await client.request(method, url(port), headers={"accept": "text/event-stream"})
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")


async def test_a_mixed_document_is_refused_as_a_stream(guarded) -> None:
    guard, observed = strawberry(guarded)
    query = "query A{me{id}} subscription B{ticks(interval:1)}"
    async with uvicorn_serves(guard) as port, streamed(url(port), query, operationName="B") as stream:
        (payload,) = await stream.payloads()
    assert "send the operation alone" in payload["errors"][0]["extensions"]["detail"]
    assert not observed.begun


# --- tokens and blocks -----------------------------------------------------------------------------------------------


def bearer(sub: str = "ada", **more: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(SECRET, sub=sub, **more)}"}


async def test_a_stream_is_cut_at_the_end_of_its_token_and_goes_on_with_a_fresh_one(guarded) -> None:
    guard, observed = strawberry(guarded, jwt_secret=SECRET)
    query = "subscription{whoami(interval:0.05)}"
    async with uvicorn_serves(guard) as port:
        async with (
            streamed(url(port), query, headers=bearer(expires_in_seconds=5)) as short,
            streamed(url(port), query, headers=bearer()) as long,
        ):
            assert (await short.next()).json == {"data": {"whoami": "ada"}}
            with pytest.raises(EOFError):
                await short.payloads()  # there is no complete
            assert (await long.next()).name == "next"
            async with streamed(url(port), query, headers=bearer()) as fresh:
                assert (await fresh.next()).json == {"data": {"whoami": "ada"}}
            assert len(live(guard)) <= 2
        await until(lambda: observed.ended["whoami"] == 3)
    reasons = [line["context"]["reason"] for line in guard.lines("guard.subscription_ended")]
    assert sorted(reasons) == ["client", "client", "token_expired"]
    assert guard.lines("security.auth_failure") == []
    assert guard.metric("fraiseql_graphql_queries_errors") == 0


async def test_a_query_that_streams_is_not_cut_at_the_end_of_its_token(guarded) -> None:
    ticks = Ticks([0.25] * 12)
    guard = mounted(guarded, ticks, jwt_secret=SECRET)
    async with uvicorn_serves(guard) as port:
        reader, writer = await ask(port, "{users{id}}", Authorization=bearer(expires_in_seconds=2)["authorization"])
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), LONG / 2)
        writer.close()
    assert answer.count(b"data: 1") == 12


@SERVERS
async def test_an_operators_block_is_the_last_that_its_user_hears(guarded, serves) -> None:
    guard, observed = strawberry(guarded, jwt_secret=SECRET)
    async with serves(guard) as port:
        async with (
            streamed(url(port), TICKS, headers=bearer()) as blocked,
            streamed(url(port), TICKS, headers=bearer("bob")) as other,
        ):
            await blocked.next()
            await guard.guard.operator.block(Target(user_id="ada"), duration_seconds=60)
            *_, last = await blocked.payloads()
            assert last["errors"][0]["extensions"]["code"] == "BLOCKED"
            assert (await other.next()).name == "next"
            async with streamed(url(port), TICKS, headers=bearer()) as again:
                (refused,) = await again.payloads()
                assert refused["errors"][0]["extensions"]["code"] == "BLOCKED"
        await until(lambda: observed.ended["ticks"] == 2)


async def test_over_http2_a_stream_is_cut_and_its_connection_goes_on(guarded) -> None:
    guard, observed = strawberry(guarded)
    transport, headers = httpx.AsyncHTTPTransport(http1=False, http2=True), {"accept": "text/event-stream"}
    async with hypercorn_serves(guard) as port, httpx.AsyncClient(transport=transport, timeout=LONG) as client:
        asked = [client.build_request("POST", url(port), json={"query": TICKS}, headers=headers) for _ in range(2)]
        cut, other = [SSEStream(await client.send(each, stream=True)) for each in asked]
        assert {stream.response.http_version for stream in (cut, other)} == {"HTTP/2"}
        assert (await cut.next()).json == (await other.next()).json == {"data": {"ticks": 1}}
        first, _ = live(guard)
        first.end(TOKEN_OVER)
        with pytest.raises(EOFError):
            await cut.payloads()
        for _ in range(3):
            assert (await other.next()).name == "next"
        assert observed.ended["ticks"] == 1
        await other.close()
