"""The runbooks' actions in Python, by their own names."""

import pytest

from fraiseql_guard.operations.operator.interface import DangerousError, OperatorError
from fraiseql_guard.testing import make_token
from tests.support.asgi import PUBLIC_ADDRESS, graphql
from tests.support.waiting import until


async def soon(guard, status: int, **caller) -> bool:
    async def so() -> bool:
        return (await graphql(guard, "{me{id}}", **caller)).status == status

    await guard.heard()
    await until(so, pause_seconds=0.25)  # so seldom that no rate is ever exceeded
    return True


async def test_an_address_is_blocked_and_unblocked(guarded) -> None:
    guard = guarded()
    done = await guard.guard.block_ip(PUBLIC_ADDRESS, 600, "an attack")
    assert done.message == f"{PUBLIC_ADDRESS} is blocked for 10 min."
    assert await soon(guard, 403)
    line = guard.lines("admin.block")[0]
    assert (line["level"], line["context"]["actor"], line["context"]["reason"]) == ("WARNING", "app", "an attack")
    assert guard.metric("fraiseql_guard_sanctions_total", policy="operator") == 1
    await guard.guard.unblock(ip_address=PUBLIC_ADDRESS)
    assert await soon(guard, 200)
    await guard.guard.aclose()


async def test_a_danger_needs_force(guarded) -> None:
    guard = guarded().guard
    with pytest.raises(DangerousError, match="loopback"):
        await guard.block_ip("127.0.0.1", 600, "by mistake")
    assert (await guard.block_ip("127.0.0.1", 600, "on purpose", force=True)).changed


async def test_a_user_is_blocked_and_unblocked(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    token = make_token(secret, sub="carol")
    await guard.guard.block_user("carol", 600, "a stolen account")
    assert (await graphql(guard, "{me{id}}", token=token)).status == 403
    await guard.guard.unblock(user_id="carol")
    assert (await graphql(guard, "{me{id}}", token=token)).status == 200
    with pytest.raises(OperatorError):
        await guard.guard.unblock()


async def test_a_users_limit(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    token = make_token(secret, sub="carol")
    assert await guard.guard.get_user_limit("carol") == "500/minute"
    await guard.guard.set_user_limit("carol", "7/minute", 600)
    assert await guard.guard.get_user_limit("carol") == "7/minute"
    assert (await graphql(guard, "{me{id}}", token=token)).header("x-ratelimit-limit") == "7"
    with pytest.raises(OperatorError, match="limit='fast' is not a rate limit"):
        await guard.guard.set_user_limit("carol", "fast", 600)


async def test_the_whitelist(guarded) -> None:
    guard = guarded(rate_limit_default="1/hour", rate_limit_burst=0)
    assert [(await graphql(guard, "{me{id}}")).status for _ in range(2)] == [200, 429]
    await guard.guard.add_to_whitelist(PUBLIC_ADDRESS, "a partner", 600)
    assert await soon(guard, 200)
    assert [each.reason for each in await guard.guard.operator.allowed()] == ["a partner"]
    await guard.guard.aclose()


async def test_an_unlock_of_nobody(guarded) -> None:
    assert (await guarded().guard.unlock("carol@example.org")).changed is False
