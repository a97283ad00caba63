"""A real Prometheus hears of what goes wrong around a guard: its app, its Redis, its logins, its own absence."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.runbooks.render import Choices, write_rule_files
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.live.test_watching import seen_firing
from tests.support.redis_server import RedisServer
from tools.listening import end, listening
from tools.prometheus import PrometheusServer

pytestmark = pytest.mark.redis

SCALE = 0.04
ADMIN_TOKEN = "the-token-of-the-engineer-on-call"
FORGED = make_token("this key is not the one that the app verifies with", sub="eve")
SCRAPED = "count_over_time(fraiseql_response_time_seconds_count[1m]) >= 4"


@dataclass(slots=True)
class Site:
    """An app, its Redis, and the Prometheus that watches it."""

    url: str
    prometheus: PrometheusServer
    redis: RedisServer
    stop: Callable[[], None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with RedisServer() as redis:
        environment = {
            name_of("jwt_secret"): SECRET,
            name_of("redis_url"): redis.url,
            name_of("trusted_proxies"): "127.0.0.1",
            name_of("admin_tokens"): f"oncall={ADMIN_TOKEN}",
            name_of("query_timeout"): "0.3",
        }
        set_up = ["env", *(f"{name}={value}" for name, value in environment.items())]
        process, address = listening(
            lambda address: [
                *set_up,
                *(sys.executable, "-m", "uvicorn", "tests.live.telling_app:app", "--no-access-log"),
                *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
            ],
            tmp_path / "app.log",
            start_seconds=60,
        )
        try:
            rules = write_rule_files(tmp_path / "rules", Choices(scale=SCALE))
            with PrometheusServer(tmp_path / "prometheus", {"blog": [address]}, rule_files=rules) as prometheus:
                while not prometheus.query(SCRAPED):
                    time.sleep(0.2)
                yield Site(f"http://{address}", prometheus, redis, lambda: end(process))
        finally:
            end(process)


@asynccontextmanager
async def going_on(site: Site, *work: Callable[[httpx.AsyncClient], Awaitable[object]]) -> AsyncIterator[None]:
    """Do each again and again, meanwhile."""
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=20) as client:

        async def go_on(ask: Callable[[httpx.AsyncClient], Awaitable[object]]) -> None:
            while True:
                with suppress(httpx.TransportError):
                    await ask(client)

        tasks = [asyncio.create_task(go_on(ask)) for ask in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def every(seconds: float, method: str, path: str, *, addresses: int = 1, token: str | None = None, query: str = ""):
    """A request, from each address in turn."""
    turns = itertools.count()

    async def ask(client: httpx.AsyncClient) -> None:
        turn = next(turns)
        headers = {"X-Forwarded-For": f"203.0.113.{turn % addresses + 1}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = {"json": {"query": query}} if query else {}
        await client.request(method, path.replace("{n}", str(turn)), headers=headers, **body)
        await asyncio.sleep(seconds)

    return ask


async def value_of(site: Site, expression: str) -> float:
    found = await asyncio.to_thread(site.prometheus.query, expression)
    return max((float(each["value"][1]) for each in found), default=0.0)


async def test_an_outage_at_night_is_told_and_one_client_without_a_token_is_none(site):
    probe = every(0.2, "GET", "/health")
    async with going_on(site, probe, every(0.5, "POST", "/graphql", query="{me}")):
        for _ in range(200):
            if await value_of(site, "fraiseql:auth_failures:ratio") > 0.99:
                break
            await asyncio.sleep(0.3)
        else:
            pytest.fail("not every request fails")
        await asyncio.sleep(15)  # three times as long as it would be held
        assert "AuthenticationServiceDown" not in await asyncio.to_thread(site.prometheus.firing)
    async with going_on(site, probe, every(1.5, "POST", "/graphql", query="{me}", addresses=3)):
        await seen_firing(site.prometheus, {"AuthenticationServiceDown"})


async def test_what_goes_wrong_is_told(site):
    good = make_token(SECRET, sub="bob")
    wrongs = [
        every(0.5, "POST", "/graphql", token=good, query="{fine}"),
        every(0.3, "GET", "/boom"),
        every(0.3, "POST", "/graphql", token=good, query="{wrong}"),
        every(0.2, "GET", "/login?user-{n}", addresses=60),
        every(1.0, "GET", "/admin/blocks", addresses=9, token="guessed"),
    ]
    named = {"AppServerErrors", "AppGraphQLErrors", "CredentialStuffing", "GuardAdminTokenGuessed"}
    async with going_on(site, *wrongs):
        await seen_firing(site.prometheus, named)
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=20) as client:
        headers = {"Authorization": f"Bearer {good}"}
        at_once = [client.post("/graphql", json={"query": "{stubborn}"}, headers=headers) for _ in range(5)]
        assert {answer.status_code for answer in await asyncio.gather(*at_once)} == {504}
    await seen_firing(site.prometheus, {"GuardRequestsAbandoned"})
    site.redis.kill()
    async with going_on(site, every(0.1, "POST", "/graphql", token=good, query="{fine}")):
        await seen_firing(site.prometheus, {"GuardStoreDown"})
    site.stop()
    await seen_firing(site.prometheus, {"GuardInstanceAbsent", "GuardAbsent"})
