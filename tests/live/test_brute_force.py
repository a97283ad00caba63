"""The drill: 1,000 wrong tokens from one address, on a real uvicorn with two workers and a real Redis.

A valid user works at the attacker's very address, and the attacked user works elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from examples.process import sum_of
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.testing import make_token
from tests.support.redis_server import RedisServer
from tests.support.workers import Workers

pytestmark = pytest.mark.redis

SECRET, FORGED = "the-servers-own-secret-of-32-bytes-or-more", "what-the-attacker-guesses-it-could-be"
OFFICE, ELSEWHERE = "198.51.100.7", "203.0.113.50"
ATTEMPTS, CONNECTIONS = 1_000, 8
QUERY = {"query": "{users(limit:1){id}}"}


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with RedisServer() as redis:
        environment = {
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "10000",  # this machine may be busy, and the drill is not about that
            "FRAISEQL_JWT_SECRET": SECRET,
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
            "FRAISEQL_RATE_LIMIT_AUTHENTICATED": "100000/minute",
        }
        with Workers(tmp_path, environment) as running:
            yield running


async def attack(url: str, tokens: Sequence[str]) -> Counter[int]:
    """All tokens, over a connection of their own."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        statuses: Counter[int] = Counter()
        for token in tokens:
            headers = {"authorization": f"Bearer {token}", "x-forwarded-for": OFFICE}
            statuses[(await client.post("/graphql", json=QUERY, headers=headers)).status_code] += 1
        return statuses


async def work(url: str, token: str, address: str, ended: asyncio.Event) -> Counter[int]:
    """A user who works, now and then over a new connection, until the attack has ended."""
    statuses: Counter[int] = Counter()
    headers = {"authorization": f"Bearer {token}", "x-forwarded-for": address}
    while not ended.is_set() or not statuses:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            for _ in range(10):
                statuses[(await client.post("/graphql", json=QUERY, headers=headers)).status_code] += 1
                await asyncio.sleep(0.02)
    return statuses


async def begin_to_work(workers: Workers, users: Mapping[str, tuple[str, str]]) -> Counter[int]:
    """Until every worker knows both tokens: a worker logs the first time that it verifies one."""
    statuses: Counter[int] = Counter()
    ended = asyncio.Event()
    ended.set()
    for _ in range(100):
        for token, address in users.values():
            statuses += await work(workers.url, token, address, ended)
        if len(workers.lines("security.auth_success")) == 2 * len(users):
            return statuses
    raise AssertionError("one of the workers serves no user")


async def test_the_attacker_is_blocked_and_nobody_else_notices(workers: Workers) -> None:
    users = {
        "colleague": (make_token(SECRET, sub="colleague"), OFFICE),
        "victim": (make_token(SECRET, sub="victim"), ELSEWHERE),
    }
    before = await begin_to_work(workers, users)
    tokens = [make_token(FORGED, sub="victim", jti=str(number)) for number in range(ATTEMPTS)]
    ended = asyncio.Event()
    working = [asyncio.create_task(work(workers.url, *user, ended)) for user in users.values()]
    share = ATTEMPTS // CONNECTIONS
    parts = [tokens[start : start + share] for start in range(0, ATTEMPTS, share)]
    attacked = sum(await asyncio.gather(*(attack(workers.url, part) for part in parts)), Counter())
    ended.set()
    served = await asyncio.gather(*working)

    assert attacked == {401: 15, 403: ATTEMPTS - 15}  # blocked after the 15th, on both workers at once
    for statuses in served:
        assert set(statuses) == {200}
        assert statuses.total() >= 10

    (line,) = workers.lines("security.brute_force_detected")
    assert (line["user_id"], line["ip_address"], line["failed_attempts"]) == ("anonymous", OFFICE, 15)
    samples = workers.samples()
    assert sum_of(samples, "fraiseql_guard_sanctions_total", policy="brute_force") == 1
    assert sum_of(samples, "fraiseql_guard_sanctions_total") == 1
    assert sum_of(samples, "fraiseql_guard_refusals_total", code="UNAUTHENTICATED") == 15
    assert sum_of(samples, "fraiseql_guard_refusals_total", code="BLOCKED") == ATTEMPTS - 15
    # A refusal by the block goes on counting in the metric of its cause, as the attacker's address alone.
    assert sum_of(samples, "fraiseql_auth_failures_total", ip_address=OFFICE, user_id="anonymous") == ATTEMPTS
    assert sum_of(samples, "fraiseql_auth_failures_total") == ATTEMPTS
    assert sum_of(samples, "fraiseql_guard_auth_failures_total") == ATTEMPTS
    reason = FailureReason.INVALID_SIGNATURE.value
    assert sum_of(samples, "fraiseql_guard_auth_failures_total", failure_reason=reason) >= 15
    assert sum_of(samples, "fraiseql_auth_success_total") == sum(served, before).total()
    assert sum_of(samples, "fraiseql_account_lockouts_total") == 0  # no account: only an address
    assert len({dict(labels)["pid"] for name, labels in samples if name == "process_cpu_seconds_total"}) == 2
    assert {line["user_id"] for line in workers.lines("security.auth_success")} == {"colleague", "victim"}
