"""Guards around guards: what is counted, with metrics of their own and with one registry for all."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from examples.process import parse_samples, sum_of
from fraiseql_guard import Guard, RateLimitMiddleware
from fraiseql_guard.testing import make_token
from tests.support.asgi import LOOPBACK, EchoApp, graphql, request
from tests.support.nesting import Between

REFUSALS, REQUESTS = "fraiseql_guard_refusals_total", "fraiseql_http_requests_total"
ERRORS, QUERIES = "fraiseql_errors_total", "fraiseql_graphql_queries_total"
DEEP = "{a" + "{a" * 30 + "}" * 31


async def exposed(app: Any) -> Any:
    return parse_samples((await request(app, "GET", "/metrics", client=LOOPBACK)).body.decode())


async def test_each_counts_what_it_refuses_and_no_other_does(guarded, secret) -> None:
    inner = guarded(jwt_secret=secret, max_query_depth=20)
    outer = guarded(Between(inner.guard), jwt_secret=secret, graphql_paths="/graphql", max_query_depth=2)
    token = make_token(secret, sub="ada")
    await graphql(outer, DEEP, token=token)
    await graphql(outer, "{me}")
    for guard, deep, missing in ((outer, 1, 1), (inner, 0, 0)):
        assert guard.metric(REFUSALS, code="QUERY_TOO_DEEP") == deep
        assert guard.metric(REFUSALS, code="UNAUTHENTICATED") == missing


async def test_a_refusal_inside_is_no_failure_that_the_outer_one_counts(guarded, secret) -> None:
    """The outer guard authenticates too, and looks at what its app answers."""
    inner = guarded(jwt_secret=secret, user_status=refuse, query_timeout=0.05, rate_limit_default="1000/minute")
    outer = guarded(Between(inner.guard), jwt_secret=secret)
    await graphql(outer, "{me}", token=make_token(secret, sub="eve"))
    assert inner.metric("fraiseql_auth_failures_total") == 1
    assert outer.metric("fraiseql_auth_failures_total") == 0
    assert outer.metric(REQUESTS, status="401") == inner.metric(REQUESTS, status="401") == 1
    assert outer.lines("security.auth_failure") == []
    slow = guarded(EchoApp(seconds=30), query_timeout=0.05)
    around = guarded(Between(slow.guard))
    await graphql(around, "{me}")
    assert slow.metric(ERRORS) == 1
    assert around.metric(ERRORS) == 0


async def refuse(_identity: Any) -> str:
    return "disabled"


async def test_in_one_registry_a_request_counts_once(guarded, secret) -> None:
    registry = CollectorRegistry()
    options = {"jwt_secret": secret, "registry": registry}
    inner = guarded(**options)
    outer = guarded(Between(inner.guard), **options, max_query_depth=20)
    token = make_token(secret, sub="ada")
    for query in ("{me}", DEEP):
        await graphql(outer, query, token=token)
    await request(outer, "GET", "/page")
    samples = await exposed(outer)
    assert sum_of(samples, REQUESTS, status="200") == 2
    assert sum_of(samples, REQUESTS, status="400") == 1
    assert sum_of(samples, REFUSALS) == 1
    assert sum_of(samples, QUERIES) == sum_of(samples, "fraiseql_graphql_queries_success") == 1
    assert sum_of(samples, "fraiseql_auth_success_total") == 2
    assert sum_of(samples, "fraiseql_graphql_query_depth_count") == 2
    assert b"fraiseql_http_requests_total" in generate_latest(registry)


async def test_in_one_registry_one_that_counts_nothing_leaves_it_to_the_other(guarded) -> None:
    registry = CollectorRegistry()
    inner = guarded(registry=registry)
    options = {"rate_limit_default": "2/hour", "rate_limit_burst": 0}
    outer = guarded(Between(inner.guard), RateLimitMiddleware, registry=registry, **options)
    for _ in range(3):
        await request(outer, "GET", "/page")
    samples = await exposed(outer)
    assert sum_of(samples, REFUSALS, code="RATE_LIMITED") == 1
    assert sum_of(samples, REQUESTS, endpoint="unknown") == 2


async def test_a_registry_is_left_to_the_guards_that_are_still_there() -> None:
    registry = CollectorRegistry()
    alone = Guard(EchoApp(), registry=registry)
    joined = Guard(RateLimitMiddleware(EchoApp(), registry=registry))
    assert joined.recorder.metrics is alone.recorder.metrics
    assert generate_latest(registry).count(b"# TYPE fraiseql_http_requests_total ") == 1
    for guard in (alone, joined):
        await request(guard, "GET", "/page")
    assert sum_of(await exposed(joined), REQUESTS, endpoint="unknown") == 2


async def test_a_caller_whom_a_guard_inside_does_not_know_has_failed_for_the_outer_one_too(guarded, secret) -> None:
    """The ratio of failed authentications is counted where the answers are."""
    registry = CollectorRegistry()
    inner = guarded(jwt_secret=secret, registry=registry)
    outer = guarded(Between(inner.guard), registry=registry)
    await graphql(outer, "{me}")
    await graphql(outer, "{me", token=make_token(secret, sub="ada"))
    counted = parse_samples(generate_latest(registry).decode())
    requests = {"kind": "guarded"}
    assert sum_of(counted, "fraiseql_guard_requests_total", **requests, outcome="unauthenticated") == 1
    assert sum_of(counted, "fraiseql_guard_requests_total", **requests, outcome="refused") == 1
    assert sum_of(counted, "fraiseql_guard_requests_total") == 2
