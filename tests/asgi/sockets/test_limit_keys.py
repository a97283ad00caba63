"""What limits count an operation by that comes over a WebSocket: what they count its socket by."""

from __future__ import annotations

import pytest

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.socket_memory import L, SocketApp, T, opened

FEW = {"rate_limit_default": "4/hour", "rate_limit_authenticated": "4/hour", "rate_limit_burst": 0}
PROTOCOLS = pytest.mark.parametrize("protocol", [T, L])


async def admitted(guard, protocol, *, payload=None, times: int = 8, **scope) -> int:
    """How many operations of one socket are admitted; its first message costs one token."""
    passed = 0
    async with opened(guard, protocol, **scope) as socket:
        await socket.init(payload)
        for number in range(times):
            answer = await socket.ask("{ me { id } }", str(number))
            passed += "data" in answer
    return passed


@PROTOCOLS
async def test_the_token_of_the_first_message_says_whose_bucket_it_is(guarded, protocol) -> None:
    guard = guarded(SocketApp(), jwt_secret=SECRET, rate_limit_key="tenant", tenant_claim="org", **FEW)
    ada, bob = ({"authorization": f"Bearer {make_token(SECRET, sub=sub, org='acme')}"} for sub in ("ada", "bob"))
    assert await admitted(guard, protocol, payload=ada, times=2) == 2
    async with opened(guard, protocol) as socket:
        await socket.init(bob)  # the fourth
        assert (await socket.ask("{ me { id } }"))["extensions"]["code"] == "RATE_LIMITED"
    other = {"authorization": f"Bearer {make_token(SECRET, sub='ada', org='other')}"}
    assert await admitted(guard, protocol, payload=other) == 3


@PROTOCOLS
async def test_a_header_of_the_upgrade_counts_for_all_that_comes_over_it(guarded, protocol) -> None:
    guard = guarded(SocketApp(), rate_limit_key="header:X-API-Key", **FEW)
    assert await admitted(guard, protocol, headers={"x-api-key": "one"}) == 3
    assert await admitted(guard, protocol, headers={"x-api-key": "two"}) == 3
    assert await admitted(guard, protocol) == 3


async def test_the_app_is_asked_with_the_upgrade_and_the_first_message_and_not_with_operations(guarded) -> None:
    asked: list[str] = []

    async def by_session(ctx) -> str:
        asked.append(ctx.path)
        return ctx.header(b"x-session")

    guard = guarded(SocketApp(), rate_limit_key=by_session, **FEW)
    assert await admitted(guard, T, headers={"x-session": "one"}) == 3
    assert len(asked) == 2
