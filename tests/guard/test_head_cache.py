"""A request whose head is cached is treated like any other; it only costs less."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import AuthMiddleware, Guard, RateLimitMiddleware
from fraiseql_guard.asgi.head_cache import CachedHead, RequestHeadCache
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS
from fraiseql_guard.operations.fleet.traffic import STEP_SECONDS
from fraiseql_guard.operations.operator.interface import Target
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import Connection, EchoApp, Reply, http_scope, request
from tests.support.properties import examples

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
QUERY = json.dumps({"query": "{me{id}}"}).encode()
MUTATION = json.dumps({"query": "mutation{a b c}"}).encode()
BROKEN = b'{"query": "{me"}'
ID = re.compile(rb"[0-9a-f]{32}")
SECONDS = re.compile(rb"(?<=;t=)\d+|(?<=\"retryAfter\":)\d+")
JSON = {"content-type": "application/json"}
ALICE, BOB = (make_token(SECRET, sub=name) for name in ("alice", "bob"))
NOW = time.time()
PREMIUM = make_token(SECRET, sub="carol", tier="premium")

CLIENTS = (("203.0.113.7", 40000), ("198.51.100.9", 1), ("10.0.0.5", 2), ("127.0.0.1", 3), ("2001:db8::7", 4), None)
FORMS: tuple[tuple[str, str, dict[str, str], bytes | None], ...] = (
    ("POST", "/graphql", JSON, QUERY),
    ("POST", "/graphql", JSON, MUTATION),
    ("POST", "/graphql", JSON, BROKEN),
    ("POST", "/graphql", {**JSON, "content-encoding": "gzip"}, QUERY),
    ("POST", "/graphql", {"content-type": "text/plain"}, QUERY),
    ("POST", "/graphql", {**JSON, "sec-fetch-site": "cross-site"}, QUERY),
    ("GET", "/graphql", {"accept": "text/html"}, None),
    ("GET", "/graphql", {}, None),
    ("GET", "/page", {}, None),
    ("GET", "/page", {"sec-fetch-site": "cross-site"}, None),
    ("HEAD", "/page", {}, None),
    ("POST", "/page", {"transfer-encoding": "chunked"}, QUERY),
    ("GET", "/health", {}, None),
    ("GET", "/ready", {}, None),
    ("GET", "/metrics", {}, None),
    ("GET", "/%67raphql", {}, None),
    ("OPTIONS", "/graphql", {"origin": "https://app.example", "access-control-request-method": "POST"}, None),
)
REQUESTS = st.tuples(
    st.sampled_from(CLIENTS),
    st.sampled_from(FORMS),
    st.sampled_from([None, None, ALICE, BOB, PREMIUM, "rubbish", ALICE[:-4] + "AAAA"]),
    st.sampled_from([{}, {}, {"x-forwarded-for": "192.0.2.1"}, {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}]),
)
OPTIONS: Sequence[dict[str, Any]] = (
    {},
    {"mode": "monitor"},
    {"auth_required": False},
    {"auth_required": False, "trusted_proxies": "10.0.0.0/8"},
    {"allow_list": "198.51.100.0/24"},
    {"jwt_secret": None},
    {"middleware": RateLimitMiddleware},
    {"middleware": RateLimitMiddleware, "mode": "monitor"},
    {"middleware": AuthMiddleware, "auth_required": False, "auth_paths": "/page"},
)


class Twin:
    """A guard, and the trips that it makes."""

    def __init__(self, folder: Path | str, middleware: Any = Guard, **options: Any) -> None:
        common = {"jwt_secret": SECRET, "rate_limit_default": "5/hour", "rate_limit_authenticated": "6/hour",
                  "rate_limit_burst": 0, "tiers": "premium=9/hour", "log_file": folder}  # fmt: skip
        self.clock = ManualClock(NOW)
        self.guard = middleware(EchoApp(), clock=self.clock, **{**common, **options})
        self.trips: list[AdmitRequest] = []
        store = self.guard.runtime.store
        admit = store.admit

        async def watched(request: AdmitRequest) -> AdmitResult:
            self.trips.append(request)
            return await admit(request)

        object.__setattr__(store, "admit", watched)

    async def ask(self, asked: Any) -> Reply:
        client, (method, path, headers, body), token, more = asked
        return await request(
            self.guard, method, path, headers={**headers, **more}, body=body, token=token, client=client,
            content_type=None,
        )  # fmt: skip

    def seen(self) -> Any:
        """What an operator is shown of callers, but for time."""
        traffic = self.guard.reloader.components.telemetry.traffic
        self.clock.advance(STEP_SECONDS)  # so that the last step is complete
        requests = {name: sum(values) for name, values in traffic.series().items()}
        return requests | {"seconds": 0}, traffic.seen(50), sorted(map(str, traffic.callers(50)))

    def counted(self) -> dict[str, float]:
        text = self.guard.recorder.metrics.render().decode()
        samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("fraiseql_"))
        apart = ("response_time", "response_size", "duration", "_created", "cache_size", "suppressed", "memory", "gc_")
        return {name: float(value) for name, value in samples.items() if not any(word in name for word in apart)}


def shown(reply: Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    moving = (b"x-request-id", b"x-ratelimit-reset", b"content-length", b"retry-after")
    lines = sorted((name, SECONDS.sub(b"", value)) for name, value in reply.headers if name not in moving)
    body = b"" if b"text/plain; version" in dict(reply.headers).get(b"content-type", b"") else reply.body
    return reply.status, lines, SECONDS.sub(b"", ID.sub(b"", body))


@examples(120)
@given(st.lists(REQUESTS, min_size=1, max_size=30), st.sampled_from(OPTIONS))
def test_whatever_comes_is_answered_counted_and_charged_as_if_nobody_was_known(script, options) -> None:
    async def compare() -> None:
        quick, slow = Twin(os.devnull, **options), Twin(os.devnull, **options)
        object.__setattr__(slow.guard.runtime, "head_cache", Forgetful(slow.guard.runtime.head_cache.reads))
        for asked in script:
            assert shown(await quick.ask(asked)) == shown(await slow.ask(asked))
        assert quick.trips == slow.trips
        assert quick.counted() == slow.counted()
        assert quick.seen() == slow.seen()
        await quick.guard.aclose()
        await slow.guard.aclose()

    asyncio.run(compare())


class Forgetful(RequestHeadCache):
    """Knows no head."""

    def find(self, key: Any) -> CachedHead | None:
        return None


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[CachedHead]:
    """The heads that were known when they came."""
    found: list[CachedHead] = []
    describe = CachedHead.describe

    def spy(self: CachedHead, scope: Any) -> Any:
        found.append(self)
        return describe(self, scope)

    monkeypatch.setattr(CachedHead, "describe", spy)
    return found


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/graphql", QUERY), ("GET", "/page", None)])
async def test_the_second_one_is_known(guarded, known, method, path, body) -> None:
    guard = guarded()
    for _ in range(5):
        assert (await request(guard, method, path, body=body)).status == 200
    assert len(known) >= 3  # the first look at what operators say begins with the first request, and asks all anew


async def test_a_block_holds_for_who_is_known(guarded, known) -> None:
    guard = guarded(rate_limit_default="100/minute")
    for _ in range(3):
        await request(guard, "GET", "/page")
    assert known
    await guard.guard.block_ip("203.0.113.0/24", 60)
    await guard.guard.runtime.control.refresh()
    assert (await request(guard, "GET", "/page")).code == "BLOCKED"
    await guard.guard.runtime.operator.lift(Target(ip_address="203.0.113.0/24"))
    await guard.guard.runtime.control.refresh()
    assert (await request(guard, "GET", "/page")).status == 200


async def test_another_limit_holds_for_who_is_known(guarded, known) -> None:
    guard = guarded(rate_limit_default="100/minute", rate_limit_burst=0)
    for _ in range(3):
        reply = await request(guard, "GET", "/page")
    assert reply.header("x-ratelimit-limit") == "100"
    assert known
    await guard.guard.runtime.operator.switch(
        "setting", "FRAISEQL_RATE_LIMIT_DEFAULT", value="50/minute", duration_seconds=60
    )
    await guard.guard.runtime.control.refresh()
    assert (await request(guard, "GET", "/page")).header("x-ratelimit-limit") == "50"


async def test_who_is_put_on_the_allow_list_is_no_longer_counted(guarded, clock, known, tmp_path) -> None:
    path = tmp_path / "allowed.yml"
    path.write_text("[]")
    guard = guarded(clock=clock, allow_list_file=path, rate_limit_default="100/minute")
    for _ in range(3):
        assert (await request(guard, "GET", "/page")).header("x-ratelimit-limit")
    assert known
    path.write_text("- {ip: 203.0.113.7, reason: our monitoring}")
    guard.advance(LOOK_AGAIN_SECONDS)
    assert (await request(guard, "GET", "/page")).header("x-ratelimit-limit") is None


async def test_what_is_remembered_of_refusals_holds_for_who_is_known(guarded, known) -> None:
    guard = guarded(middleware=RateLimitMiddleware, rate_limit_default="3/hour", rate_limit_burst=0)
    replies = [await request(guard, "GET", "/page") for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 3 + [429] * 2
    assert (await request(guard, "GET", "/another")).status == 429
    assert known


@pytest.mark.parametrize("middleware", [Guard, RateLimitMiddleware])
async def test_what_the_app_raises_passes_for_who_is_known(guarded, known, middleware) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("the app's own")

    guard = guarded(app, middleware)
    for _ in range(4):
        with pytest.raises(RuntimeError, match="the app's own"):
            await request(guard, "GET", "/page")
    assert known


async def test_cleared_caches_know_nobody(guarded, known) -> None:
    guard = guarded()
    for _ in range(3):
        await request(guard, "GET", "/page")
    guard.guard.reloader.clear_caches()
    before = len(known)
    assert (await request(guard, "GET", "/page")).status == 200
    assert len(known) == before


async def test_what_a_request_puts_back_that_began_before_is_not_found(guarded, known) -> None:
    """An operator says something while the head checks are at work on a request."""
    guard = guarded(middleware=RateLimitMiddleware)
    await request(guard, "GET", "/elsewhere")  # the first look at what operators say begins with it
    runtime = guard.guard.runtime

    class Says:
        protection, reads = Protection.RATE_LIMIT, HeadReads()
        times = 0

        def decide(self, _: Any) -> None:
            self.times += 1
            if self.times == 1:
                runtime.head_cache.forget()

    object.__setattr__(runtime, "head_checks", (*runtime.head_checks, check := Says()))
    for times in (1, 2, 2):
        assert (await request(guard, "GET", "/page")).status == 200
        assert check.times == times
    assert len(known) == 1


@pytest.mark.parametrize("path", ["/page", "/graphql"])
async def test_a_token_is_verified_where_others_pass_without(guarded, secret, known, path) -> None:
    guard = guarded(jwt_secret=secret, auth_required=False, auth_paths="/page")
    method, body = ("GET", None) if path == "/page" else ("POST", QUERY)
    for _ in range(4):
        assert (await request(guard, method, path, body=body)).status == 200
    assert known
    assert (await request(guard, method, path, body=body, token="rubbish")).code == "UNAUTHENTICATED"
    assert (await request(guard, method, path, body=body, token=make_token(secret, sub="alice"))).status == 200
    assert (await request(guard, method, path, body=body)).status == 200


async def test_a_flood_of_heads_keeps_little(guarded) -> None:
    guard = guarded(middleware=RateLimitMiddleware, rate_limit_default="1000000/hour")
    head_cache = guard.guard.runtime.head_cache
    for number in range(2_500):
        await request(guard, "GET", f"/page/{number}", client=(f"203.0.{number % 113}.7", 1))
    assert 0 < head_cache.size_bytes <= 1_000 * 1_500


async def test_a_long_head_is_not_kept(guarded, known) -> None:
    guard = guarded(middleware=RateLimitMiddleware)
    for _ in range(3):
        reply = await request(guard, "GET", "/page", headers={"authorization": "Basic " + "x" * 5_000})
        assert reply.status == 200
    assert not known


@pytest.mark.parametrize("broken", [{"client": [["203.0.113.7"], 1]}, {"client": ({}, 1)}, {"client": 7}], ids=str)
async def test_what_cannot_be_a_key_goes_the_long_way(guarded, known, broken) -> None:
    guard = guarded(middleware=RateLimitMiddleware)
    for _ in range(2):
        connection = Connection([])
        await guard(http_scope("GET", "/page", **broken), connection.receive, connection.send)
        assert connection.reply.status == 200
    assert not known
    assert guard.metric("fraiseql_guard_faults_total") == 0


async def test_a_fault_of_ours_on_the_short_way_refuses(guarded, known, monkeypatch) -> None:
    guard = guarded(middleware=RateLimitMiddleware)
    for _ in range(4):
        await request(guard, "GET", "/page")
    assert known

    def broken(self: CachedHead, scope: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(CachedHead, "describe", broken)
    assert (await request(guard, "GET", "/page")).code == "GUARD_FAULT"
    assert guard.metric("fraiseql_guard_faults_total", part="heads") == 1


async def test_an_unreadable_head_in_the_middle_of_a_flood_is_no_fault(guarded) -> None:
    guard = guarded(middleware=RateLimitMiddleware, rate_limit_default="1/hour", rate_limit_burst=0)
    for _ in range(20):
        await request(guard, "GET", "/page")
    scope = http_scope("GET", "/page")
    scope["headers"] = [(b"host", b"x", b"more")]
    connection = Connection([])
    await guard(scope, connection.receive, connection.send)
    assert connection.reply.status in (429, 503)
