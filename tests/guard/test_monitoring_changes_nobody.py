"""Monitoring refuses nothing, and changes nothing about who a caller is or which bucket they pay from."""

from __future__ import annotations

import asyncio
import itertools
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from fraiseql_guard import Guard
from fraiseql_guard.asgi.logins import logins
from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET, Guarded
from tests.support.asgi import Reply, graphql, request

ALICE = make_token(SECRET, sub="alice")
GONE = make_token(SECRET, sub="mallory")
HERE = Subject("address", "203.0.113.7")
MODED = ("rate_limit", "auth", "query_limits", "timeout")
LIMITS = {"rate_limit_default": "100/hour", "rate_limit_authenticated": "500/hour", "tiers": "pro=900/hour"}


async def user_status(identity: Any) -> str:
    return "disabled" if identity.user_id == "mallory" else "active"


async def tell_mode(guard: Guarded, protection: str, mode: str) -> None:
    await guard.guard.runtime.store.overrides.put(Override(OverrideKind.MODE, protection, 600, value=mode))
    await guard.guard.runtime.control.refresh()


def who(guard: Guarded, reply: Reply) -> tuple[int, str | None, str | None]:
    """The status, which user the app saw, and whose bucket was charged."""
    user = guard.app.scopes[-1].get("user")
    return (
        reply.status,
        getattr(user, "identity", None) if user and user.is_authenticated else None,
        reply.header("x-ratelimit-limit"),
    )


@pytest.mark.parametrize("modes", [*itertools.product(("enforce", "monitor"), repeat=len(MODED))], ids="-".join)
@pytest.mark.parametrize("policy", [None, *PolicyName])
async def test_a_valid_token_is_the_same_user_whatever_is_monitored(guarded: Any, modes: Any, policy: Any) -> None:
    if policy is PolicyName.OPERATOR and modes[0] == "enforce":
        return  # that is refused
    guard = guarded(
        jwt_secret=SECRET, **LIMITS, **{f"mode_{name}": mode for name, mode in zip(MODED, modes, strict=True)}
    )
    if policy is not None:
        await guard.guard.runtime.store.sanctions.impose(Sanction(HERE, policy, 600))
    for number in range(25):  # the address is known to be blocked, and has had its verifications
        await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub=f"u{number}"))
    for number in range(12):  # tokens that were never seen before
        fresh = make_token(SECRET, sub=f"user-{number}", tier="pro")
        reply = await graphql(guard, "{me{id}}", token=fresh)
        if reply.status != 403:
            assert who(guard, reply) == (200, f"user-{number}", "900")
    reply = await request(guard, "GET", "/page", token=ALICE)
    if reply.status != 403:
        assert who(guard, reply) == (200, "alice", "500")


@pytest.mark.parametrize("switched", ["all", "auth"])
@pytest.mark.parametrize("path", ["/graphql", "/page"])
async def test_a_switch_to_monitor_mode_acts_at_once_behind_a_blocked_address(
    guarded: Any, switched: str, path: str
) -> None:
    guard = guarded(jwt_secret=SECRET, **LIMITS)
    for number in range(40):
        reply = await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub=f"u{number}"))
    assert reply.status == 403
    await tell_mode(guard, switched, "monitor")
    for number in range(15):
        fresh = make_token(SECRET, sub=f"user-{number}")
        reply = await request(guard, "GET" if path == "/page" else "POST", path, token=fresh,
                              body=None if path == "/page" else b'{"query":"{me{id}}"}')  # fmt: skip
        assert who(guard, reply) == (200, f"user-{number}", "500")


@pytest.mark.parametrize("path", ["/graphql", "/page"])
async def test_a_user_who_is_gone_is_still_that_user_where_that_is_only_watched(guarded: Any, path: str) -> None:
    guard = guarded(jwt_secret=SECRET, user_status=user_status, mode_auth="monitor", **LIMITS)
    method, body = ("GET", None) if path == "/page" else ("POST", b'{"query":"{me{id}}"}')
    assert who(guard, await request(guard, method, path, token=GONE, body=body)) == (200, "mallory", "500")
    await tell_mode(guard, "auth", "enforce")
    reply = await request(guard, method, path, token=GONE, body=body)
    assert reply.status == (200 if path == "/page" else 401)
    if path == "/page":
        assert who(guard, reply) == (200, None, "100")


# --- what an operator says while requests are at work ----------------------------------------------------------------


class Held:
    """A hook that holds every question until it is let go."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, identity: Any) -> str:
        await self.goes_on.wait()
        return "active"


@pytest.fixture
def held() -> Held:
    return Held()


async def at_work(guard: Guarded, held: Held, asks: list[Any], meanwhile: Any) -> list[Reply]:
    held.goes_on.clear()
    tasks = [asyncio.create_task(ask) for ask in asks]
    for _ in range(20):
        await asyncio.sleep(0)
    await meanwhile
    await guard.guard.runtime.control.refresh()
    held.goes_on.set()
    return await asyncio.gather(*tasks)


@pytest.mark.parametrize("path", ["/page", "/graphql"])
async def test_an_operators_word_is_obeyed_by_the_next_request(guarded: Any, held: Held, path: str) -> None:
    """A block and its end, an address that is allowed and its end, each while requests with the same head wait."""
    guard = guarded(jwt_secret=SECRET, auth_required=False, user_status=held, **LIMITS)
    operator, store = guard.guard.runtime.operator, guard.guard.runtime.store

    def ask(token: str | None = ALICE) -> Any:
        body = None if path == "/page" else b'{"query":"{me{id}}"}'
        return request(guard, "GET" if path == "/page" else "POST", path, token=token, body=body)

    address = "203.0.113.7"
    for _ in range(3):
        assert (await ask()).status == 200
    words: list[tuple[Any, Any]] = [
        (operator.block(Target(ip_address=address), duration_seconds=600), lambda reply: reply.status == 403),
        (operator.lift(Target(ip_address=address)), lambda reply: reply.header("x-ratelimit-limit") is not None),
        (
            store.overrides.put(Override(OverrideKind.ALLOW, address, 600)),
            lambda reply: reply.header("x-ratelimit-limit") is None,
        ),
        (
            store.overrides.delete(OverrideKind.ALLOW, address),
            lambda reply: reply.header("x-ratelimit-limit") is not None,
        ),
    ]
    for word, obeyed in words:
        await at_work(guard, held, [ask() for _ in range(3)] + [ask(None)], word)
        assert obeyed(await ask())
        assert obeyed(await ask(None))


async def test_a_refusal_that_is_given_again_ends_with_an_operators_word(guarded: Any) -> None:
    """A request that waits for keys, and was judged before its address was allowed, leaves no answer behind."""
    goes_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n" + b'{"keys":[]}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = guarded(
        rate_limit_default="1/hour", rate_limit_burst=0, jwks_url=f"http://127.0.0.1:{port}/keys", auth_required=False
    )

    def ask() -> Any:
        return request(guard, "GET", "/page", token=UNKNOWN)

    for _ in range(30):
        assert (await request(guard, "GET", "/page")).status in (200, 429)
    tasks = [asyncio.create_task(ask()) for _ in range(8)]
    for _ in range(20):
        await asyncio.sleep(0)
    await guard.guard.runtime.store.overrides.put(Override(OverrideKind.ALLOW, "203.0.113.7", 600))
    await guard.guard.runtime.control.refresh()
    goes_on.set()
    assert {(await task).status for task in tasks} == {429}
    assert (await ask()).status == 200
    server.close()
    await guard.guard.aclose()


def _part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


UNKNOWN = f"{_part({'alg': 'RS256', 'kid': 'a-key-that-is-not-here'})}.{_part({'sub': 'alice'})}.{'A' * 342}"


# --- attempts at work ------------------------------------------------------------------------------------------------


async def test_attempts_that_outlive_a_change_of_the_settings_are_given_back(guarded: Any) -> None:
    events: list[asyncio.Event] = []
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.append(asyncio.Event())
        await events[-1].wait()
        found.append(await logins(scope).locked("alice"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = guarded(app, Guard, lockout_offences=2)
    tasks = [asyncio.create_task(request(guard, "POST", "/login")) for _ in range(4)]
    for _ in range(20):
        await asyncio.sleep(0)
    await guard.guard.runtime.store.overrides.put(
        Override(OverrideKind.SETTING, "FRAISEQL_GUARD_MAX_ALIASES", 600, value="7")
    )
    await guard.guard.runtime.control.refresh()
    for event, task in zip(events, tasks, strict=True):  # one after the other
        event.set()
        await task
    assert found == [None] * 4
