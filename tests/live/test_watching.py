"""A real Prometheus watches a guarded app under attack, with limits enforced: alerts fire, and no panel is empty."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import METRICS, STORE_BREAKER_OPEN, SUBSCRIPTION_SECONDS, Source
from fraiseql_guard.operations.runbooks.dashboard import dashboard
from fraiseql_guard.operations.runbooks.foreign import FOREIGN
from fraiseql_guard.operations.runbooks.render import Choices, write_rule_files
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.processes import STARLETTE, Server
from tools.panels import drawn, main
from tools.prometheus import PrometheusServer
from tools.promql import PENDING, selected

SCALE = 0.04
PATIENCE_SECONDS = 100.0
JOB = "blog"
# An offence, as it is over twice the limit.
TOO_DEEP = '{user(id: "user-1")' + "{invitedBy" * 30 + "{id}" + "}" * 31
# What the Starlette example has nothing of: a database, its exporter, a Redis, a subscription, and what the vocabulary
# is about to get.
NOT_HERE = {each.name for each in (*METRICS, *FOREIGN, *PENDING) if each.source in (Source.HOST, Source.NODE)} | {
    each.name for each in (*PENDING, STORE_BREAKER_OPEN, SUBSCRIPTION_SECONDS)
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[tuple[Server, PrometheusServer]]:
    folder = tmp_path_factory.mktemp("watched")
    rules = write_rule_files(folder / "rules", Choices(scale=SCALE))
    environment = {
        name_of("jwt_secret"): SECRET,
        name_of("trusted_proxies"): "127.0.0.1",
        name_of("query_timeout"): "0.3",
        name_of("rate_limit_authenticated"): "240/minute",
        name_of("rate_limit_abuse_offences"): "20",  # one a second counts
    }
    with Server(STARLETTE, folder, environment) as server:
        target = server.url.removeprefix("http://")
        with PrometheusServer(folder / "prometheus", {JOB: [target]}, rule_files=rules) as prometheus:
            # What happens before the first scrape has happened before time began.
            while not prometheus.query("count_over_time(fraiseql_graphql_queries_total[1m]) >= 3"):
                time.sleep(0.2)
            yield server, prometheus


class Attack:
    """Callers who go on until they are told to stop, each behind an address of his own."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Attack:
        limits = httpx.Limits(max_connections=100)
        self._client = httpx.AsyncClient(timeout=20, trust_env=False, limits=limits)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def begin(self, address: str, query: str, *, token: str | None = None, pause_seconds: float) -> None:
        """Send a query again and again."""
        headers = {"X-Forwarded-For": address}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"

        async def go_on() -> None:
            while True:
                with suppress(httpx.TransportError):
                    await self._client.post(self._url, json={"query": query}, headers=headers)
                await asyncio.sleep(pause_seconds)

        self._tasks.append(asyncio.create_task(go_on()))


async def seen_firing(prometheus: PrometheusServer, names: set[str]) -> None:
    """Wait until each of the alerts has fired at some time; a failure names the others, and what they look at."""
    seen: set[str] = set()
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not names <= seen:
        seen |= set(await asyncio.to_thread(prometheus.firing))
        if asyncio.get_running_loop().time() > deadline:
            recorded = await asyncio.to_thread(prometheus.query, '{__name__=~"fraiseql:.*"}')
            values = [(each["metric"], each["value"][1]) for each in recorded]
            pytest.fail(f"never fired: {sorted(names - seen)}; recorded: {values}")
        await asyncio.sleep(0.3)


def token(user: str) -> str:
    return make_token(SECRET, sub=user)


def friends_as_ever(attack: Attack) -> None:
    for n in range(3):
        attack.begin(f"10.0.0.{n}", "{users{id}}", token=token(f"friend{n}"), pause_seconds=1)


def a_user_floods(attack: Attack) -> None:
    for _ in range(10):
        attack.begin("203.0.113.9", "{users{id}}", token=token("bob"), pause_seconds=0.05)


def somebody_guesses_tokens(attack: Attack) -> None:
    for _ in range(10):
        attack.begin("203.0.113.7", "{users{id}}", token="a.b.c", pause_seconds=0.05)


def queries_are_expensive(attack: Attack) -> None:
    for n in range(6):
        own = f"query Eve{n} {TOO_DEEP}"  # one document of several callers would be taken for the app's own
        attack.begin(f"198.51.100.{n}", own, token=token(f"eve{n}"), pause_seconds=0.3)
        attack.begin(f"192.0.2.{n}", "{slow(seconds: 5)}", token=token(f"carol{n}"), pause_seconds=0.1)


ATTACKS = [
    (
        a_user_floods,
        {"HighRateLimitViolations", "RateLimitAbuseDetected", "RateLimitingImpactingUsers", "GuardSanctionImposed"},
    ),
    (
        somebody_guesses_tokens,
        {"HighAuthFailureRate", "BruteForceDetected", "AuthenticationServiceDown", "GuardSanctionImposed"},
    ),
    (
        queries_are_expensive,
        {"GraphQLQueryTimeouts", "GraphQLComplexityViolations", "GraphQLDoSDetected", "DatabaseQueryTimeouts"},
    ),
]


@pytest.mark.parametrize(("happens", "alerts"), ATTACKS, ids=[each.__name__ for each, _ in ATTACKS])
async def test_the_alerts_fire_while_limits_are_enforced(watched, happens, alerts):
    server, prometheus = watched
    async with Attack(server.url) as attack:
        friends_as_ever(attack)
        happens(attack)
        await seen_firing(prometheus, alerts)
        firing = await asyncio.to_thread(prometheus.firing)
    assert {each["labels"]["user_id"] for each in firing.get("RateLimitAbuseDetected", [])} <= {"bob"}
    assert {each["labels"]["ip_address"] for each in firing.get("BruteForceDetected", [])} <= {"203.0.113.7"}


async def test_every_panel_of_the_guard_s_own_metrics_shows_something(watched):
    server, prometheus = watched
    async with Attack(server.url) as attack:
        friends_as_ever(attack)
        await asyncio.sleep(5)
    shown = drawn(dashboard(Choices(scale=SCALE)), prometheus.url, seconds=120, step_seconds=1)
    panels = await asyncio.to_thread(list, shown)
    empty = {panel.title: panel.expressions for panel in panels if panel.is_empty}
    assert {title for title, texts in empty.items() if not any(selected(each) & NOT_HERE for each in texts)} == set()
    assert len(panels) - len(empty) >= 25


async def test_the_command_names_empty_panels(watched, tmp_path, capsys):
    _, prometheus = watched
    panel = {
        "type": "timeseries",
        "title": "nothing",
        "targets": [{"expr": "vector(1) > 2", "legendFormat": "x"}],
        "fieldConfig": {"defaults": {"unit": "bytes"}},
    }
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"panels": [panel]}))
    assert await asyncio.to_thread(main, [prometheus.url, str(file)]) == 1
    assert "EMPTY" in capsys.readouterr().out
