"""A caller that goes on inside its Retry-After costs next to nothing, and counts as if it had been asked in full."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import Guard, RateLimitMiddleware
from fraiseql_guard.asgi import dispatcher, limit_headers, refusal_cache
from fraiseql_guard.asgi.refusal_cache import CachedRefusal, RefusalResponseCache
from fraiseql_guard.checks.rate_limits import refuse
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.token_buckets import Bucket, Charge, Limit
from fraiseql_guard.testing import make_token
from tests.support.asgi import Connection, EchoApp, Reply, http_scope, request
from tests.support.waiting import until

ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1_000_000}
QUERY = json.dumps({"query": "{me{id}}"}).encode()
JSON = {"content-type": "application/json"}
ID = re.compile(rb"[0-9a-f]{32}")
SOME = 40


@pytest.fixture
def given_again(monkeypatch: pytest.MonkeyPatch) -> list[CachedRefusal]:
    """The answers that were given once more."""
    found: list[CachedRefusal] = []
    answer = CachedRefusal.answer

    async def spy(self: CachedRefusal, send: Any) -> None:
        found.append(self)
        await answer(self, send)

    monkeypatch.setattr(CachedRefusal, "answer", spy)
    return found


async def refused(guard: Any, ask: Callable[[], Any], count: int = SOME) -> list[Reply]:
    """The answers to one request more than its caller may make, and to so many repetitions."""
    return [await ask() for _ in range(count + 1)][1:]


def asking(guard: Any, method: str, path: str, **more: Any) -> Callable[[], Any]:
    body = {"body": QUERY} if method == "POST" else {}
    return lambda: request(guard, method, path, **body, **more)


def shown(reply: Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """An answer without what no two have in common."""
    moving = (b"x-request-id", b"x-ratelimit-reset")
    return reply.status, sorted(line for line in reply.headers if line[0] not in moving), ID.sub(b"", reply.body)


def told(guard: Any) -> dict[str, float]:
    """All that was counted, but for time, and for what depends on when a second of the clock begins."""
    text = guard.guard.recorder.metrics.render().decode()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("fraiseql_"))
    apart = ("response_time", "duration", "_created", "cache_size", "suppressed", "memory", "in_flight")
    return {name: float(value) for name, value in samples.items() if not any(word in name for word in apart)}


def lines_in_all(guard: Any, event: str) -> float:
    return len(guard.lines(event)) + guard.metric("fraiseql_guard_log_lines_suppressed_total", event=event)


@pytest.mark.parametrize(("method", "path"), [("POST", "/graphql"), ("GET", "/page"), ("HEAD", "/page")])
@pytest.mark.parametrize(
    ("middleware", "known"), [(Guard, False), (Guard, True), (RateLimitMiddleware, False)], ids=["all", "user", "alone"]
)
async def test_a_repetition_is_answered_and_counted_like_any_other_refusal(
    guarded, clock, secret, monkeypatch, given_again, middleware, method, path, known
) -> None:
    tokens = {"jwt_secret": secret, "auth_required": False, "rate_limit_authenticated": "1/hour"}
    options = {**ONCE, **(tokens if middleware is Guard else {}), "clock": clock}
    token = make_token(secret, sub="alice") if known else None
    quick, slow = guarded(EchoApp(), middleware, **options), guarded(EchoApp(), middleware, **options)
    quick_replies = await refused(quick, asking(quick, method, path, token=token))
    assert len(given_again) > SOME - 20
    monkeypatch.setattr(RefusalResponseCache, "find", lambda *_: None)
    slow_replies = await refused(slow, asking(slow, method, path, token=token))
    assert {reply.status for reply in quick_replies} == {429}
    assert {str(shown(reply)) for reply in quick_replies} == {str(shown(reply)) for reply in slow_replies}
    assert len({reply.header("x-request-id") for reply in quick_replies}) == SOME
    assert all((reply.header("x-request-id") or "").encode() in reply.body or not reply.body for reply in quick_replies)
    assert told(quick) == told(slow)
    for event in ("security.rate_limit", "http.request"):
        assert lines_in_all(quick, event) == lines_in_all(slow, event)
    pulses = [each.guard.reloader.components.telemetry.traffic for each in (quick, slow)]
    assert pulses[0].seen(5) == pulses[1].seen(5)
    assert pulses[0].callers(5) == pulses[1].callers(5)


async def test_every_repetition_is_an_offence_in_the_next_trip(guarded, given_again) -> None:
    guard = guarded(middleware=RateLimitMiddleware, rate_limit_default="2/second", rate_limit_burst=0)
    trips = []
    admit = guard.guard.runtime.store.admit

    async def watched(trip: Any) -> Any:
        trips.append(trip)
        return await admit(trip)

    object.__setattr__(guard.guard.runtime.store, "admit", watched)
    replies = [await request(guard, "GET", "/page") for _ in range(200)]
    await asyncio.sleep(0.55)
    await request(guard, "GET", "/page")
    assert given_again
    counted = sum(trip.refused_before for trip in trips)
    went = sum(reply.status == 429 for reply in replies)
    by_trip = len(trips) - 1 - sum(reply.status == 200 for reply in replies)
    assert counted + by_trip == went


@pytest.mark.parametrize(
    "other",
    [
        {"client": ("198.51.100.9", 40000)},
        {"token": "bob"},
        {"headers": {"x-forwarded-for": "198.51.100.9"}, "client": ("127.0.0.1", 1)},
        {"headers": {"x-forwarded-for": "198.51.100.10"}, "client": ("127.0.0.1", 1)},
    ],
    ids=str,
)
async def test_nobody_gets_what_is_anothers(guarded, secret, given_again, other) -> None:
    guard = guarded(
        **ONCE, jwt_secret=secret, auth_required=False, rate_limit_authenticated="1/hour", trusted_proxies="127.0.0.1"
    )
    alice = make_token(secret, sub="alice")
    await refused(guard, asking(guard, "POST", "/graphql", token=alice))
    await refused(guard, asking(guard, "POST", "/graphql"))
    behind = {"headers": {"x-forwarded-for": "198.51.100.11"}, "client": ("127.0.0.1", 1)}
    await refused(guard, asking(guard, "POST", "/graphql", **behind))
    before = len(given_again)
    token = other.pop("token", None)
    if token is not None:
        other["token"] = make_token(secret, sub=token)
    reply = await asking(guard, "POST", "/graphql", **other)()
    assert (reply.status, len(given_again)) == (200, before)


async def test_what_a_refusal_from_memory_looks_at_is_known(guarded, secret, monkeypatch) -> None:
    """Headers that the gates read and the memory did not know of could give one caller another's answer."""
    read: set[bytes] = set()

    class Watched(dict[bytes, bytes]):
        def __getitem__(self, name: bytes) -> bytes:
            read.add(name)
            return super().__getitem__(name)

        def get(self, name: bytes, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

        def __contains__(self, name: object) -> bool:
            read.add(bytes(name))  # type: ignore[call-overload]
            return super().__contains__(name)

        def __iter__(self) -> Any:
            raise AssertionError("all names are looked at")

    class Names(Watched):
        def __iter__(self) -> Any:  # set.isdisjoint asks for each of ours, or reads all of these
            return iter(dict.keys(self))

    describe, lines = dispatcher.describe, RequestContext.lines

    def watched(scope: Any, stack: Any, place: Any) -> RequestContext:
        ctx = describe(scope, stack, place)
        ctx.headers = Names(ctx.headers)
        return ctx

    def watched_lines(self: RequestContext, name: bytes) -> list[str]:
        read.add(name)
        return lines(self, name)

    monkeypatch.setattr(dispatcher, "describe", watched)
    monkeypatch.setattr(RequestContext, "lines", watched_lines)
    monkeypatch.setattr(RefusalResponseCache, "find", lambda *_: None)
    guard = guarded(
        **ONCE, jwt_secret=secret, auth_required=False, cors_origins="https://app.example", multipart=True, apq=True,
        metrics_token="a-token-for-those-who-scrape-the-metrics", metrics_networks="192.0.2.0/24",
    )  # fmt: skip
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    forms: list[tuple[str, str, dict[str, str], bytes | None]] = [
        ("POST", "/graphql", JSON, QUERY),
        ("POST", "/graphql", {**JSON, "origin": "https://app.example", "content-encoding": "identity"}, QUERY),
        ("POST", "/graphql", {**JSON, "accept": "application/graphql-response+json"}, QUERY),
        ("POST", "/graphql", {**JSON, "authorization": f"Bearer {make_token(secret, sub='alice')}"}, QUERY),
        ("POST", "/graphql", {"content-type": "multipart/form-data", "x-requested-with": "fetch"}, QUERY),
        ("GET", "/graphql", {"accept": "text/html"}, None),
        ("GET", "/graphql", {"sec-fetch-site": "cross-site"}, None),
        ("OPTIONS", "/graphql", preflight, None),
        ("GET", "/page", {"sec-fetch-site": "cross-site", "content-length": "0"}, None),
        ("GET", "/metrics", {}, None),
        ("GET", "/health", {}, None),
        ("POST", "/page", {"transfer-encoding": "chunked"}, QUERY),
    ]
    for method, path, headers, body in forms:
        replies = [await request(guard, method, path, headers=headers, body=body, content_type=None) for _ in range(9)]
        assert replies[-1].status in (200, 400, 403, 415, 429)
    assert b"authorization" in read
    assert read - {b"traceparent", b"user-agent"} <= guard.guard.runtime.head_cache.reads.headers


async def test_headers_may_be_lists(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    for _ in range(SOME):
        scope = http_scope("GET", "/page", headers={"accept": "text/html"}, client=["203.0.113.7", 40000])
        scope["headers"] = [list(line) for line in scope["headers"]]
        connection = Connection([])
        await guard(scope, connection.receive, connection.send)
    assert given_again
    assert guard.metric("fraiseql_guard_faults_total") == 0


async def test_an_operators_word_is_obeyed_in_the_middle_of_a_flood(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    assert {reply.status for reply in await refused(guard, asking(guard, "GET", "/page"))} == {429}
    assert given_again
    await guard.guard.block_ip("203.0.113.7", 60)
    await guard.guard.runtime.control.refresh()
    assert (await asking(guard, "GET", "/page")()).code == "BLOCKED"


async def test_cleared_caches_ask_anew(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    await refused(guard, asking(guard, "GET", "/page"))
    guard.guard.reloader.clear_caches()
    before = len(given_again)
    assert (await asking(guard, "GET", "/page")()).status == 429
    assert len(given_again) == before


async def test_in_monitor_mode_everybody_passes(guarded, given_again) -> None:
    guard = guarded(**ONCE, mode="monitor")
    assert {reply.status for reply in await refused(guard, asking(guard, "GET", "/page"))} == {200}
    assert not given_again


async def test_they_are_told_though_nobody_looks(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    await refused(guard, asking(guard, "GET", "/page"))
    assert given_again
    guard.guard.runtime.recorder.metrics.before_collecting = lambda: None
    await until(lambda: guard.metric("fraiseql_rate_limit_exceeded_total") == SOME)


async def test_they_are_told_at_the_end(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    await refused(guard, asking(guard, "GET", "/page"))
    guard.guard.runtime.recorder.metrics.before_collecting = lambda: None
    await guard.guard.aclose()
    assert guard.metric("fraiseql_rate_limit_exceeded_total") == SOME


async def test_a_client_that_leaves_counts(guarded, given_again) -> None:
    guard = guarded(**ONCE)
    await refused(guard, asking(guard, "GET", "/page"))

    async def gone(message: Any) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="gone"):
        await guard(http_scope("GET", "/page"), None, gone)
    assert guard.metric("fraiseql_rate_limit_exceeded_total") == SOME + 1


async def test_a_flood_from_many_keeps_little(guarded) -> None:
    guard = guarded(**ONCE)
    for client in range(30):
        ask = asking(guard, "GET", "/page", client=(f"203.0.113.{client}", 1))
        await refused(guard, ask, 8)
    kept = guard.guard.runtime.refusal_cache
    assert 0 < kept.size_bytes <= 30 * 3_000
    await until(lambda: kept.size_bytes == 0)


@given(
    st.integers(1, 10_000),
    st.integers(1, 86_400),
    st.floats(0, 0.999),
    st.floats(0, 0.999_999),
)
def test_kept_numbers_are_those_that_would_be_told(tokens, window, left, part) -> None:
    """At any moment before a kept answer is given up, a new one would say the same."""
    charge = Charge("default", Limit(tokens, window))

    def at(seconds: float) -> Bucket:
        remaining = left + seconds * charge.rate
        return Bucket(charge, remaining, (1 - remaining) / charge.rate)

    def numbers(bucket: Bucket) -> list[Any]:
        denial = refuse(bucket)
        head = limit_headers.rate_limit_headers((bucket,), 0.0, (bucket.retry_after_seconds,))
        shown = [value for name, value in head if name != b"x-ratelimit-reset"]
        return [denial.actual, math.ceil(bucket.retry_after_seconds), *shown]

    steady = refusal_cache.steady_seconds(at(0))
    if steady > 0:
        assert numbers(at(0)) == numbers(at(steady * part))
