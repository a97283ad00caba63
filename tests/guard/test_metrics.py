"""The exposition: who may read it, and what plain HTTP accounting puts there."""

import json

import pytest

from fraiseql_guard.telemetry import EventLog, Metrics
from tests.support.asgi import LOOPBACK, EchoApp, graphql, request

TOKEN = "a-token-for-prometheus-of-32-bytes-or-more"


async def test_loopback_may_read_and_the_public_may_not(guarded) -> None:
    guard = guarded()
    assert (await request(guard, "GET", "/metrics", client=LOOPBACK)).status == 200
    public = await request(guard, "GET", "/metrics")
    assert (public.status, public.json["code"]) == (403, "METRICS_FORBIDDEN")
    assert b"fraiseql_" not in public.body


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_behind_a_proxy_on_the_same_machine_the_public_may_not(guarded, header) -> None:
    forwarded = {header: "for=203.0.113.1" if header == "forwarded" else "203.0.113.1"}
    for options in ({}, {"trusted_proxies": "127.0.0.1"}):
        guard = guarded(**options)
        assert (await request(guard, "GET", "/metrics", client=LOOPBACK, headers=forwarded)).status == 403


async def test_configured_networks_and_the_token_may_read(guarded) -> None:
    guard = guarded(metrics_networks="203.0.113.0/24", metrics_token=TOKEN)
    assert (await request(guard, "GET", "/metrics")).status == 200
    assert (await request(guard, "GET", "/metrics", client=("198.51.100.1", 1))).status == 403
    assert (await request(guard, "GET", "/metrics", client=("198.51.100.1", 1), token=TOKEN)).status == 200
    assert (await request(guard, "GET", "/metrics", client=("198.51.100.1", 1), token=TOKEN[:-1])).status == 403


async def test_monitor_mode_does_not_open_the_metrics(guarded) -> None:
    assert (await request(guarded(mode="monitor"), "GET", "/metrics")).status == 403


async def test_the_path_can_be_moved_and_other_methods_are_the_apps(guarded) -> None:
    guard = guarded(metrics_path="/internal/metrics")
    assert b"# TYPE" in (await request(guard, "GET", "/internal/metrics", client=LOOPBACK)).body
    assert (await request(guard, "GET", "/metrics", client=LOOPBACK)).json == {"data": {"ok": True}}
    assert (await request(guard, "POST", "/internal/metrics", client=LOOPBACK)).json == {"data": {"ok": True}}


async def test_plain_accounting_of_a_request(guarded) -> None:
    guard = guarded(EchoApp())
    body = json.dumps({"query": "{me{id}}"}).encode()
    await request(guard, body=body, headers={"user-agent": "test/1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert guard.metric("fraiseql_http_requests_total", endpoint="/graphql", status="200", user_id="anonymous") == 1
    assert guard.metric("fraiseql_response_time_seconds_count") == 1
    assert guard.metric("fraiseql_http_request_size_bytes_sum") == len(body)
    assert guard.metric("fraiseql_http_response_size_bytes_sum") == len(b'{"data": {"ok": true}}')
    (line,) = guard.lines("http.request")
    assert line["trace_id"] == "a" * 32
    assert {key: line["context"][key] for key in ("endpoint", "status", "user_agent", "request_size_bytes")} == {
        "endpoint": "/graphql",
        "status": 200,
        "user_agent": "test/1",
        "request_size_bytes": len(body),
    }


async def test_a_line_that_is_told_later_has_the_trace_of_its_own_request(guarded) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    span = trace.use_span(trace.NonRecordingSpan(trace.SpanContext(int("c" * 32, 16), 1, is_remote=False)))
    guard = guarded(EchoApp())
    await request(guard, "GET", "/a", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    with span:
        await request(guard, "GET", "/b", headers={"traceparent": f"00-{'b' * 32}-{'b' * 16}-01"})
        lines = guard.lines("http.request")  # told here, inside the span of one of them
    assert [line["trace_id"] for line in lines] == ["a" * 32, "c" * 32]


async def test_closed_series_exist_before_anything_happens(guarded) -> None:
    body = (await request(guarded(), "GET", "/metrics", client=LOOPBACK)).body.decode()
    assert 'fraiseql_guard_refusals_total{protection="rate_limit",code="RATE_LIMITED"} 0.0' in body.replace(
        'code="RATE_LIMITED",protection="rate_limit"', 'protection="rate_limit",code="RATE_LIMITED"'
    )
    for name in ("process_resident_memory_bytes", "python_gc_collections_total", "fraiseql_graphql_queries_errors"):
        assert f"\n{name}" in body


async def test_a_user_named_like_a_reserved_label_is_told_apart(guarded, secret) -> None:
    from fraiseql_guard.testing import make_token

    guard = guarded(jwt_secret=secret)
    await graphql(guard, "{me{id}}", token=make_token(secret, sub="anonymous"))
    assert guard.metric("fraiseql_http_requests_total", user_id="anonymous") == 0
    assert guard.metric("fraiseql_http_requests_total") == 1


async def test_a_broken_log_or_metric_fails_no_request(guarded, monkeypatch) -> None:
    guard = guarded()

    def broken(*args, **kwargs):
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(EventLog, "emit", broken)
    monkeypatch.setattr(Metrics, "observe", broken)
    assert (await graphql(guard, "{me{id}}")).status == 200


async def test_a_gate_that_breaks_refuses_with_503_and_is_counted(guarded, monkeypatch) -> None:
    guard = guarded()
    check = guard.guard.runtime.body_checks[0]

    class Broken:
        protection = check.protection

        def decide(self, ctx):
            raise ZeroDivisionError("a bug")

    object.__setattr__(guard.guard.runtime, "body_checks", (Broken(),))
    reply = await graphql(guard, "{me{id}}")
    assert (reply.status, reply.code) == (503, "GUARD_FAULT")
    assert guard.app.bodies == []
    assert guard.metric("fraiseql_guard_faults_total", part="Broken") == 1
    assert "ZeroDivisionError" in guard.lines("guard.fault")[0]["context"]["error"]


async def test_a_store_that_breaks_unexpectedly_refuses_with_503(guarded, monkeypatch) -> None:
    guard = guarded()

    async def broken(trip):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(type(guard.guard.runtime.store), "admit", lambda self, request: broken(request))
    reply = await graphql(guard, "{me{id}}")
    assert (reply.status, reply.code) == (503, "GUARD_FAULT")


@pytest.mark.parametrize(
    "header",
    """via x-forwarded-proto x-forwarded-host x-client-ip fly-client-ip true-client-ip cf-connecting-ip cf-ray cdn-loop
    x-envoy-internal x-amzn-trace-id x-cloud-trace-context x-azure-ref fastly-ssl x-original-url""".split(),
)
async def test_any_header_that_only_proxies_send_closes_the_operators_pages(guarded, header) -> None:
    guard = guarded(rate_limit_default="100000/minute", metrics_networks="10.0.0.0/8")
    for path, client in (("/metrics", LOOPBACK), ("/health/detailed", ("10.0.0.1", 1)), ("/metrics", ("10.0.0.1", 1))):
        for _ in range(3):  # known heads are told apart, too
            for value in ("1", "2"):
                reply = await request(guard, "GET", path, client=client, headers={header: value})
                assert reply.status == 403
            assert (await request(guard, "GET", path, client=client)).status == 200
            assert (await request(guard, "GET", path, client=client, headers={"traceparent": "x"})).status == 200


async def test_what_proxies_write_anew_with_every_request_is_no_other_head(guarded) -> None:
    guard = guarded(rate_limit_default="100000/minute", trusted_proxies="10.0.0.1")
    sizes = []
    for number in range(20):
        headers = {"x-forwarded-for": "203.0.113.9", "cf-ray": f"{number:x}", "x-amzn-trace-id": f"Root={number}"}
        await request(guard, "GET", "/page", client=("10.0.0.1", 1), headers=headers)
        sizes.append(guard.guard.runtime.head_cache.size_bytes)
    assert {*sizes[5:]} == {max(sizes)} != {0}  # it holds one head, and goes on holding one
