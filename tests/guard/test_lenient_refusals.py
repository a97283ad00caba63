"""Refusals that cost nothing of the rate have a ceiling of their own, which is no offence to reach."""

from __future__ import annotations

import pytest

from fraiseql_guard.checks.rate_limits import LENIENCY
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql, request
from tests.support.redis_server import RedisServer
from tests.support.verifications import count_verifications

CROSS_SITE = {"sec-fetch-site": "cross-site"}
ELSEWHERE = ("198.51.100.9", 40000)
CEILING = 2 * LENIENCY


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def workers(request, guarded, secret):
    """Two workers on one Redis, or a single one, that let an address do two things an hour."""
    options = {"jwt_secret": secret, "auth_required": False, "rate_limit_default": "2/hour", "rate_limit_burst": 0}
    options |= {"rate_limit_authenticated": "1000/hour", "rate_limit_abuse_offences": 1}
    if request.param == "memory":
        yield [guarded(**options)]
        return
    with RedisServer() as server:
        guards = [guarded(redis_url=server.url, store_timeout_ms=5000, **options) for _ in range(2)]
        yield guards
        for guard in guards:
            await guard.guard.aclose()


async def foreign_page(workers, times: int, **more) -> list[int]:
    """A page of another site makes its visitor's browser send forms."""
    more = {"content_type": "text/plain", "headers": CROSS_SITE} | more
    return [
        (await request(workers[number % len(workers)], body=b"query={me{id}}", **more)).status
        for number in range(times)
    ]


async def expired(workers, secret: str, times: int, **more) -> list:
    """Genuine tokens that have expired, each one of its own."""
    tokens = [make_token(secret, sub=f"user-{number}", expires_in_seconds=-5) for number in range(times)]
    return [
        await graphql(workers[number % len(workers)], "{me{id}}", token=token, **more)
        for number, token in enumerate(tokens)
    ]


def sanctions(workers) -> float:
    return sum(guard.metric("fraiseql_guard_sanctions_total") for guard in workers)


async def test_a_foreign_page_is_refused_for_free_up_to_a_ceiling(workers, secret) -> None:
    assert await foreign_page(workers, CEILING + 5) == [400] * CEILING + [429] * 5
    assert await foreign_page(workers, 2, client=ELSEWHERE) == [400] * 2
    assert {(await graphql(guard, "{me{id}}")).status for guard in workers} == {200}  # the visitor's own requests
    assert [reply.status for reply in await expired(workers, secret, 2)] == [401] * 2
    assert sanctions(workers) == 0


async def test_expired_tokens_are_refused_for_free_up_to_a_ceiling(workers, secret) -> None:
    replies = await expired(workers, secret, CEILING + 5)
    assert [reply.status for reply in replies] == [401] * CEILING + [429] * 5
    assert replies[0].header("x-ratelimit-limit") is None  # nothing was taken from what its client may use
    assert 0 < int(replies[-1].header("retry-after")) <= 3600 / CEILING + 1
    assert [reply.status for reply in await expired(workers, secret, 2, client=ELSEWHERE)] == [401] * 2
    for guard in workers:
        assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="ada"))).status == 200
    assert (await graphql(workers[0], "{me{id}}")).status == 200
    assert sanctions(workers) == 0


async def test_a_flood_of_expired_tokens_is_refused_without_cryptography(guarded, clock, secret, monkeypatch) -> None:
    guard = guarded(clock=clock, jwt_secret=secret, rate_limit_default="2/hour", rate_limit_burst=0)
    known = make_token(secret, sub="alice")
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    verified = count_verifications(monkeypatch)
    replies = await expired([guard], secret, CEILING + 60)
    assert [reply.status for reply in replies] == [401] * CEILING + [429] * 60
    assert len(verified) == CEILING + 1 + 10  # up to the ceiling, the one that met it, and ten in the second after
    assert {reply.code for reply in replies[CEILING:]} == {"RATE_LIMITED"}
    assert all(reply.header("retry-after") for reply in replies[CEILING:])
    assert (await graphql(guard, "{me{id}}", token=known)).status == 200
    assert (await expired([guard], secret, 1, client=ELSEWHERE))[0].status == 401


async def test_forged_tokens_are_offences_as_before(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    await expired([guard], secret, 30)
    forged = [make_token("x" * 40, sub=f"user-{number}") for number in range(17)]
    assert [(await graphql(guard, "{me{id}}", token=token)).status for token in forged] == [401] * 15 + [403] * 2


async def test_where_the_rate_is_only_watched_there_is_no_ceiling(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, rate_limit_default="1/hour", rate_limit_burst=0, mode_rate_limit="monitor")
    assert {reply.status for reply in await expired([guard], secret, 30)} == {401}
