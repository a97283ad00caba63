"""What sockets and streams cost a real server over time: moments, lines, memory, and what its metrics say of it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from fraiseql_guard.core.signals import ClosingReason, SocketProtocol, Transport
from fraiseql_guard.testing import Samples, make_token
from tests.conftest import SECRET
from tests.support.socket_client import ClosedError, L, RawSocket, T, connected
from tests.support.socket_servers import GUARDED_STRAWBERRY, ROOMY, SocketServer, serving
from tests.support.sse_client import streamed
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

INIT_SECONDS, SEND_SECONDS = 2.0, 2.0
MIB = 1024 * 1024
LIVES = ("fraiseql_response_time_seconds", "fraiseql_graphql_query_duration_seconds")
EVER = "subscription { ticks(interval: 60) }"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SocketServer, Samples]]:
    """A guarded Strawberry on uvicorn, and what its metrics were before anything came."""
    folder = tmp_path_factory.mktemp("numbers")
    environment = {
        **ROOMY,
        "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log"),
        "FRAISEQL_GUARD_SOCKET_INIT_SECONDS": str(INIT_SECONDS),
        "FRAISEQL_GUARD_SOCKET_SEND_SECONDS": str(SEND_SECONDS),
        "FRAISEQL_JWT_SECRET": SECRET,
        "FRAISEQL_GUARD_AUTH_REQUIRED": "true",
    }
    with serving("uvicorn", GUARDED_STRAWBERRY, folder, environment) as server:
        yield server, server.samples()


@pytest.fixture
def server(fresh: tuple[SocketServer, Samples]) -> SocketServer:
    return fresh[0]


def authorization(sub: str = "ada", **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(SECRET, sub=sub, **claims)}"}


def told(server: SocketServer, user: str) -> Counter[tuple[str, str | None]]:
    """How many log lines of each event, with which reason, there are about a user so far."""
    written = (server.folder / "guard.log").read_text().splitlines(keepends=True)
    lines = [json.loads(line) for line in written if line.endswith("\n")]
    return Counter((line["event"], line["context"].get("reason")) for line in lines if _is_about(line, user))


def _is_about(line: dict[str, Any], user: str) -> bool:
    return line.get("context", {}).get("user_id") == user


async def closed(server: SocketServer, reason: ClosingReason, count: float) -> None:
    """Until so many sockets were closed for this reason."""
    await until(lambda: server.metric("fraiseql_guard_sockets_closed_total", reason=reason.value) >= count)


# --- moments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [T, L])
async def test_a_socket_that_is_not_initialized_is_ended_in_its_time(server: SocketServer, protocol: str) -> None:
    before = server.metric("fraiseql_guard_sockets_closed_total", reason="init_timeout")
    refused = server.metric("fraiseql_guard_refusals_total", code="SOCKET_PROTOCOL")
    since = time.monotonic()
    async with connected(server.ws(), protocols=(protocol,)) as socket:
        ended = await socket.ended()
    seconds = time.monotonic() - since
    print(f"ended after {seconds:.3f} s")
    assert ended.code == 4408
    assert seconds >= INIT_SECONDS - 0.1
    await closed(server, ClosingReason.INIT_TIMEOUT, before + 1)
    assert server.metric("fraiseql_guard_refusals_total", code="SOCKET_PROTOCOL") == refused + 1


async def test_a_token_ends_its_socket_by_one_line_and_a_fresh_one_goes_on(server: SocketServer) -> None:
    over = int(time.time()) + 4
    said = 0
    async with connected(server.ws()) as socket:
        await socket.init(authorization("grace", exp=over))
        await socket.subscribe("s", "subscription { whoami(interval: 0.05) }")
        with suppress(ClosedError):
            while True:  # as a client does that does not look at its token
                await socket.subscribe(f"q{said}", "{ me { id } }")
                await socket.send({"type": "ping"})
                said += 1
                await asyncio.sleep(0.02)
                while await _has(socket):
                    pass
        at = time.time()
        ended = await socket.ended()
    print(f"ended {at - over:.3f} s after its token, {said} operations")
    assert (ended.code, ended.reason) == (4403, "TOKEN_EXPIRED")
    assert at >= over
    assert said > 3
    async with connected(server.ws()) as socket:
        await socket.init(authorization("grace"))
        await socket.subscribe("s", "subscription { whoami(interval: 0.05) }")
        assert (await socket.receive_type("next"))["payload"] == {"data": {"whoami": "grace"}}
    await until(lambda: told(server, "grace")["guard.socket_closed", "client"])
    assert told(server, "grace") == {
        ("security.auth_success", None): 2, ("guard.socket_closed", "token_expired"): 1,
        ("guard.socket_closed", "client"): 1,
    }  # fmt: skip


async def _has(socket: RawSocket) -> bool:
    """Take a message, if one has come."""
    try:
        await socket.receive(0.001)
    except TimeoutError:
        return False
    return True


async def test_a_token_cuts_its_stream_by_one_line_and_a_fresh_one_goes_on(server: SocketServer) -> None:
    over, url = int(time.time()) + 4, f"{server.url}/graphql"
    query = "subscription { whoami(interval: 0.05) }"
    async with streamed(url, query, headers=authorization("edith", exp=over)) as stream:
        with pytest.raises(EOFError):
            await stream.payloads()
        at = time.time()
    print(f"cut {at - over:.3f} s after its token")
    assert at >= over
    async with streamed(url, query, headers=authorization("edith")) as stream:
        assert (await stream.next()).json == {"data": {"whoami": "edith"}}
    await until(lambda: told(server, "edith").total() >= 6)  # those about requests are written a moment later
    assert told(server, "edith") == {
        ("security.auth_success", None): 2, ("http.request", None): 2,
        ("guard.subscription_ended", "token_expired"): 1, ("guard.subscription_ended", "client"): 1,
    }  # fmt: skip


def _all_ended(server: SocketServer, name: str) -> bool:
    app = server.probe()
    return app["begun"][name] == app["ended"].get(name, 0)


# --- memory ----------------------------------------------------------------------------------------------------------


async def test_ten_thousand_subscriptions_leave_no_memory_behind(server: SocketServer) -> None:
    """Python's own count of what it holds is exact where the size of the process depends on where a piece lies."""
    sockets_open, times, warm = 10, 1_000, 200

    async def some(socket: RawSocket, begin: int, end: int) -> None:
        for number in range(begin, end):
            await socket.subscribe(str(number), EVER)
            await socket.receive_type("next")
            await socket.complete(str(number))

    async def all_of(sockets: list[RawSocket], begin: int, end: int) -> dict[str, int]:
        await asyncio.gather(*(some(socket, begin, end) for socket in sockets))
        await until(lambda: server.metric("fraiseql_guard_subscriptions", transport="socket") == 0)
        await until(lambda: _all_ended(server, "ticks"))
        return server.probe()

    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connected(server.ws())) for _ in range(sockets_open)]
        for socket in sockets:
            await socket.init(authorization("olive"))
        before = await all_of(sockets, 0, warm)
        after = await all_of(sockets, warm, times)
    blocks, grown = after["blocks"] - before["blocks"], after["rss_bytes"] - before["rss_bytes"]
    print(f"{blocks} blocks and {grown / MIB:.2f} MiB more")
    assert blocks < sockets_open * (times - warm) / 2  # less than one each that stays
    assert grown <= 2 * MIB


async def test_a_client_that_does_not_read_costs_neither_memory_nor_the_events_of_others(server: SocketServer) -> None:
    async def held_up() -> tuple[float, dict[str, Any]]:
        """One such client to its end: how long that took, and what the app tells while its TCP connection stands."""
        closings = server.metric("fraiseql_guard_sockets_closed_total", reason="slow_consumer")
        async with connected(server.ws(), max_queue=1) as lazy:
            await lazy.init(authorization("lazy"))
            lazy.connection.transport.pause_reading()
            since = time.monotonic()
            await lazy.subscribe("1", "subscription { big(kilobytes: 64) }")
            await closed(server, ClosingReason.SLOW_CONSUMER, closings + 1)
            seconds = time.monotonic() - since
            await until(lambda: _all_ended(server, "big"))
            app = server.probe()
            lazy.abort()
        return seconds, app

    async with connected(server.ws()) as other:
        await other.init(authorization("quick"))
        seen: list[int] = []
        reading = asyncio.create_task(_read_ticks(other, seen))
        await held_up()  # what the allocator keeps from then on, it keeps once
        before, since = server.probe(), len(seen)
        seconds, after = await held_up()
        beside = len(seen) - since
        reading.cancel()
    grown = after["rss_bytes"] - before["rss_bytes"]
    print(f"ended after {seconds:.2f} s, {grown / MIB:.2f} MiB more, {beside} events beside it")
    assert seconds >= SEND_SECONDS
    assert grown <= MIB
    assert beside >= 10
    assert seen == list(range(1, 1 + len(seen)))


async def _read_ticks(socket: RawSocket, seen: list[int]) -> None:
    await socket.subscribe("1", "subscription { ticks(interval: 0.02) }")
    while True:
        seen.append((await socket.receive_type("next"))["payload"]["data"]["ticks"])


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_each_closed_label_has_its_series_from_the_start(fresh: tuple[SocketServer, Samples]) -> None:
    _, samples = fresh

    def series(name: str, label: str) -> dict[str, float]:
        return {each.labels[label]: each.value for each in samples[name]}

    protocols = dict.fromkeys((each.value for each in SocketProtocol), 0.0)
    assert series("fraiseql_guard_sockets", "protocol") == protocols
    assert series("fraiseql_guard_sockets_opened_total", "protocol") == protocols
    assert series("fraiseql_guard_subscriptions", "transport") == dict.fromkeys((each.value for each in Transport), 0.0)
    reasons = dict.fromkeys((each.value for each in ClosingReason), 0.0)
    assert series("fraiseql_guard_sockets_closed_total", "reason") == reasons
    directions = series("fraiseql_guard_socket_messages_total", "direction")
    assert (len(directions), sum(directions.values())) == (2, 0)


async def test_lives_are_no_durations_and_gauges_are_0_at_the_end(server: SocketServer) -> None:
    def slow() -> list[float]:
        """How many requests took longer than 2.5 s."""
        return [server.metric(f"{name}_count") - server.metric(f"{name}_bucket", le="2.5") for name in LIVES]

    def gauges() -> dict[str, float]:
        names = ("fraiseql_guard_sockets", "fraiseql_guard_subscriptions", "fraiseql_guard_in_flight")
        return {name: server.metric(name) for name in names}

    await until(lambda: not any(gauges().values()))
    before, lived = slow(), server.metric("fraiseql_guard_subscription_seconds_sum")
    url, caller = f"{server.url}/graphql", authorization("mary")
    async with (
        connected(server.ws(), headers=caller) as socket,
        connected(server.ws(), protocols=(L,), headers=caller) as legacy,
        streamed(url, "subscription { silent }", headers=caller) as silent,
        streamed(url, "subscription { ticks(interval: 0.1) }", headers=caller) as stream,
    ):
        assert silent.status == 200
        for each in (socket, legacy):
            await each.init()
            await each.subscribe("1", "subscription { ticks(interval: 0.5) }")
            await each.subscribe("2", "subscription { silent }")
        await until(lambda: server.metric("fraiseql_guard_subscriptions") == 6)
        assert server.metric("fraiseql_guard_sockets") == 2
        since = time.monotonic()
        while time.monotonic() < since + 3:
            await stream.next()
    await until(lambda: not any(gauges().values()))
    await until(lambda: server.metric("fraiseql_guard_subscription_seconds_sum") >= lived + 6 * 3)
    assert slow() == before
    assert server.metric("fraiseql_guard_faults_total") == 0
