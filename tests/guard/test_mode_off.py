"""``mode=off``: a protection decides nothing, takes nothing and says nothing, as if it were not mounted."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fraiseql_guard import AuthMiddleware, Guard, RateLimitMiddleware, SettingsError
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.stores.overrides import Override, OverrideKind
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, graphql, request
from tests.support.starlette_client import TestClient

TIGHT = {"rate_limit_default": "1/hour", "rate_limit_authenticated": "1/hour", "rate_limit_burst": 0}
DEEP = "{ a { b { c } } }"


async def test_nothing_is_decided_charged_or_logged(guarded) -> None:
    guard = guarded(mode="off", **TIGHT, max_query_depth=1, jwt_secret=SECRET, max_body_bytes=100, dos_offences=1)
    for _ in range(5):
        reply = await graphql(guard, DEEP, token="no token at all", variables={"long": "x" * 200})
        assert (reply.status, reply.json) == (200, {"data": {"ok": True}})
        assert reply.header("ratelimit") is None
    assert (await request(guard, "GET", "/graphql", query="query={a}")).status == 200
    counted = {"fraiseql_guard_refusals_total", "fraiseql_guard_would_refuse_total", "fraiseql_guard_sanctions_total"}
    assert sum(map(guard.metric, counted)) == 0
    assert {line["event"] for line in guard.lines()} <= {"guard.started", "guard.configuration", "http.request"}
    assert guard.guard.runtime.store.entries == {"buckets": 0, "offences": 0, "sanctions": 0}


@pytest.mark.parametrize(
    ("off", "passes"),
    [("rate_limit", "rate"), ("auth", "token"), ("query_limits", "depth")],
)
async def test_one_protection_is_off_and_the_others_go_on(guarded, off, passes) -> None:
    options: dict[str, Any] = {f"mode_{off}": "off", "jwt_secret": SECRET, "max_query_depth": 2, **TIGHT}
    guard = guarded(**options)
    token = make_token(SECRET, sub="ada")
    found = {
        "depth": (await graphql(guard, DEEP, token=token)).status == 200,
        "token": (await graphql(guard, "{a}", client=("203.0.113.9", 1))).status == 200,
    }
    await graphql(guard, "{a}", token=token)
    found["rate"] = (await graphql(guard, "{a}", token=token)).status == 200
    expected = {"depth": False, "token": False, "rate": False, passes: True}
    if off == "auth":
        expected["rate"] = False  # of the address: there is no user
    assert found == expected


async def test_the_mode_of_one_wins_over_the_mode_of_all(guarded) -> None:
    guard = guarded(mode="off", mode_query_limits="enforce", max_query_depth=2)
    assert (await graphql(guard, DEEP)).code == "QUERY_TOO_DEEP"
    assert guard.guard.mount_options.protections == {Protection.QUERY_LIMITS, Protection.METRICS, Protection.ADMIN}


async def test_operators_blocks_bind_no_request_where_all_is_off(guarded) -> None:
    guard = guarded(mode="off")
    await guard.guard.block_ip("203.0.113.7", 60)
    await guard.heard()
    assert (await graphql(guard, "{a}")).status == 200


async def test_metrics_and_the_operators_api_have_no_mode(guarded) -> None:
    guard = guarded(mode="off", admin_tokens=f"alice={'t' * 40}")
    assert (await request(guard, "GET", "/metrics")).status == 403
    assert (await request(guard, "GET", "/metrics", client=("127.0.0.1", 1))).status == 200
    assert (await request(guard, "GET", "/admin/status", token="t" * 40)).status == 200


async def test_what_is_off_stays_off_whatever_operators_say(guarded) -> None:
    guard = guarded(mode_query_limits="off", max_query_depth=1)
    await guard.guard.operator.switch("mode", "all", "enforce", duration_seconds=60)
    await guard.heard()
    assert (await graphql(guard, DEEP)).status == 200


@pytest.mark.parametrize(
    ("kind", "key"),
    [(OverrideKind.MODE, "all"), (OverrideKind.MODE, "auth"), (OverrideKind.SETTING, "FRAISEQL_GUARD_MODE")],
)
async def test_nothing_can_be_switched_off_at_run_time(guarded, kind, key) -> None:
    guard = guarded(max_query_depth=2)
    await guard.store.overrides.put(Override(kind, key, 60, "", "alice", value="off"))
    await guard.heard()
    assert (await graphql(guard, DEEP)).code == "QUERY_TOO_DEEP"
    told = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert [detail for detail in told if "cannot be off at run time. Accepted: enforce or monitor" in detail]


@pytest.mark.parametrize(
    ("environment", "warned"), [(None, 1), ("production", 1), ("development", 0), ("test", 0), ("testing", 0)]
)
async def test_a_start_with_something_off_is_told_outside_of_tests(guarded, environment, warned) -> None:
    guard = guarded(mode_auth="off", environment=environment)
    await graphql(guard, "{a}")
    told = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    assert len([detail for detail in told if "nothing is decided about auth (FRAISEQL_GUARD_MODE" in detail]) == warned


def test_one_protection_alone_may_be_off() -> None:
    guard = AuthMiddleware(RateLimitMiddleware(EchoApp(), mode="off"))  # a key is needed only where it is on
    assert guard.mount_options.protections == frozenset()


def test_a_mode_that_does_not_exist_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="enforce, monitor or off"):
        Guard(EchoApp(), mode="none")


# --- Starlette's TestClient -------------------------------------------------------------------------------------------


def page(asked: Any) -> PlainTextResponse:
    return PlainTextResponse("page")


@pytest.mark.parametrize("path", ["/metrics", "/health/detailed"])
@pytest.mark.parametrize(
    ("environment", "headers", "status"),
    [
        ("development", {}, 200),
        ("development", {"x-forwarded-for": "testclient"}, 403),
        ("production", {}, 403),
        ("testing", {}, 403),
        (None, {}, 403),
    ],
)
def test_the_test_client_reads_the_guards_pages_in_development_alone(path, environment, headers, status) -> None:
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(Guard, environment=environment)
    with TestClient(app) as client:
        assert client.get(path, headers=headers).status_code == status
