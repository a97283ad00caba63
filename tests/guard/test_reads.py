"""What the head checks decided is cached for the next request with the same head, so each declares what it reads of a
head, and reads nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import AuthMiddleware, Guard, MetricsMiddleware, QueryLimitMiddleware, RateLimitMiddleware
from fraiseql_guard.asgi.head_cache import RequestHeadCache
from fraiseql_guard.checks.request_paths import RequestPaths
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.signals import CROSS_SITE_REQUEST, Protection
from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.asgi import EchoApp, request
from tests.support.properties import examples

SCHEME: Final = len(b"Bearer ")


class UndeclaredError(AssertionError):
    """Something was read that was not declared."""


class Watched(Mapping[bytes, bytes]):
    """Headers of which only the declared ones are there; who asks for another is told so."""

    def __init__(self, headers: Mapping[bytes, bytes], reads: HeadReads) -> None:
        self._headers, self._reads = headers, reads

    def _check(self, name: object) -> None:
        if name not in self._reads.headers:
            raise UndeclaredError(f"reads the header {name!r} and does not declare it")

    def __getitem__(self, name: bytes) -> bytes:
        self._check(name)
        return self._headers[name]

    def __contains__(self, name: object) -> bool:
        self._check(name)
        return name in self._headers

    def get(self, name: bytes, default: Any = None) -> Any:
        self._check(name)
        return self._headers.get(name, default)

    def __iter__(self) -> Iterator[bytes]:
        return (name for name in self._headers if name in self._reads.headers)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Presence(bytes):
    """A query string of which is known whether it is there."""

    def decode(self, *_: Any, **__: Any) -> str:
        raise UndeclaredError("reads the query string and does not declare it")

    def __contains__(self, _: object) -> bool:
        raise UndeclaredError("reads the query string and does not declare it")


def watched(ctx: RequestContext, reads: HeadReads) -> Any:
    """The context as a check may see it; what the check writes goes to the real one."""

    class View:
        @property
        def headers(self) -> Any:
            return Watched(ctx.headers, reads)

        @property
        def header_lines(self) -> Any:
            return [line for line in ctx.header_lines if line[0] in reads.headers]

        @property
        def query_string(self) -> bytes:
            return ctx.query_string if reads.query_string else Presence(ctx.query_string)

        def header(self, name: bytes) -> str:
            return self.headers.get(name, b"").decode("latin-1")

        def lines(self, name: bytes) -> list[str]:
            if name not in reads.headers:
                raise UndeclaredError(f"reads the header {name!r} and does not declare it")
            return ctx.lines(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(ctx, name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(ctx, name, value)

    return View()


class Strict:
    """A check that is held to what it declares."""

    def __init__(self, check: Any, broken: list[str]) -> None:
        self._check, self._broken = check, broken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._check, name)

    def decide(self, ctx: RequestContext) -> Denial | None:
        try:
            return self._check.decide(watched(ctx, self._check.reads))
        except UndeclaredError as error:
            self._broken.append(f"{type(self._check).__name__} {error}")
            raise


def hold_to_declarations(guard: Any) -> list[str]:
    """Have every check that decides by a head show what it reads; what it reads undeclared is in the answer."""
    stack, broken = guard.runtime, []
    object.__setattr__(stack, "head_checks", tuple(Strict(check, broken) for check in stack.head_checks))
    if stack.token_check is not None:
        object.__setattr__(stack, "token_check", Strict(stack.token_check, broken))
    return broken


NAMES = st.sampled_from([
    "accept", "access-control-request-method", "apollo-require-preflight", "authorization", "content-encoding",
    "content-length", "content-type", "cookie", "forwarded", "graphql-require-preflight", "host", "origin", "referer",
    "sec-fetch-site", "traceparent", "transfer-encoding", "user-agent", "x-apollo-operation-name", "x-forwarded-for",
    "x-real-ip", "x-requested-with", "x-tenant", "x-api-key",
])  # fmt: skip
VALUES = st.sampled_from([
    "", "0", "2", "application/json", "application/graphql-response+json", "multipart/form-data", "text/html",
    "cross-site", "same-origin", "gzip", "identity", "https://app.example", "POST", "192.0.2.1", "chunked",
    "same-origin", f"t={make_token(SECRET, sub='bob')}", "t=x; u=1",
    f"Bearer {make_token(SECRET, sub='alice')}", "Bearer x.y.z", "Basic abc", "1",
])  # fmt: skip
HEADS = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT"]),
    st.sampled_from(["/graphql", "/page", "/metrics", "/health/detailed", "/admin/blocks", "/api/x"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.sampled_from(["", "query={me}"]),
    st.sampled_from(["203.0.113.7", "127.0.0.1", "10.0.0.5"]),
)


async def no_key(_: str) -> None:
    """An app that knows no API key."""


MOUNTS: list[tuple[Any, dict[str, Any]]] = [
    (Guard, {}),
    (Guard, {"mode": "monitor", "multipart": True}),
    (Guard, {"auth_required": False, "auth_paths": "/api", "admin_tokens": f"oncall={'t' * 40}"}),
    (AuthMiddleware, {"public_operations": "login"}),
    (RateLimitMiddleware, {"trusted_proxies": "10.0.0.0/8", "forwarded_header": "x-real-ip"}),
    (QueryLimitMiddleware, {}),
    (MetricsMiddleware, {"metrics_token": "m" * 40}),
    (Guard, {"api_keys": no_key, "auth_paths": "/api"}),
    (Guard, {"token_cookie": "t", "cors_origins": "https://app.example", "auth_paths": "/api"}),
    (AuthMiddleware, {"api_keys": no_key, "api_key_header": "x-tenant", "token_cookie": "t"}),
]


@examples(200)
@given(st.lists(HEADS, min_size=1, max_size=8), st.sampled_from(MOUNTS))
def test_no_check_reads_what_it_does_not_declare(heads: list[Any], mount: Any) -> None:
    async def ask() -> None:
        middleware, options = mount
        guard = middleware(EchoApp(), jwt_secret=SECRET, log_file=os.devnull, **options)
        broken = hold_to_declarations(guard)
        for method, path, lines, query, address in heads:
            await request(guard, method, path, headers=lines, query=query, client=(address, 1), content_type=None)
        assert broken == []
        await guard.aclose()

    asyncio.run(ask())


# --- a new check -----------------------------------------------------------------------------------------------------


class Tenants:
    """A check that might be added: one tenant is refused."""

    protection = Protection.QUERY_LIMITS

    def __init__(self, reads: HeadReads) -> None:
        self.reads = reads

    def decide(self, ctx: RequestContext) -> Denial | None:
        return Denial(CROSS_SITE_REQUEST) if ctx.header(b"x-tenant") == "closed" else None


class Queries(Tenants):
    """Another: it refuses by the query string."""

    def decide(self, ctx: RequestContext) -> Denial | None:
        return Denial(CROSS_SITE_REQUEST) if b"closed" in ctx.query_string else None


def with_check(guard: Any, check: Any) -> Any:
    """A guard with one check more, mounted as all are."""
    stack = guard.guard.runtime
    object.__setattr__(stack, "head_checks", (*stack.head_checks, check))
    object.__setattr__(stack, "head_cache", RequestHeadCache(HeadReads.union((stack.head_cache.reads, check.reads))))
    return guard


@pytest.mark.parametrize("path", ["/page", "/graphql"])
@pytest.mark.parametrize(
    ("check", "open_", "closed"),
    [
        (Tenants(HeadReads(headers=frozenset({b"x-tenant"}))), {"headers": {"x-tenant": "open"}},
         {"headers": {"x-tenant": "closed"}}),
        (Queries(HeadReads(query_string=True)), {"query": "a=open"}, {"query": "a=closed"}),
    ],
)  # fmt: skip
async def test_what_a_new_check_declares_tells_heads_apart(
    guarded: Any, path: str, check: Any, open_: Any, closed: Any
) -> None:
    guard = with_check(guarded(introspection="allow"), check)
    asked: dict[str, Any] = {"content_type": "application/json"}
    if path == "/graphql":
        asked |= {"body": b'{"query":"{me{id}}"}'}
    method = "POST" if path == "/graphql" else "GET"
    for _ in range(4):
        assert (await request(guard, method, path, **asked, **closed)).status == 400
        assert (await request(guard, method, path, **asked, **open_)).status == 200


async def test_a_check_that_reads_undeclared_headers_is_found(guarded: Any) -> None:
    for check in (Tenants(HeadReads()), Queries(HeadReads())):
        guard = with_check(guarded(), check)
        broken = hold_to_declarations(guard.guard)
        await request(guard, "GET", "/page", headers={"x-tenant": "open"}, query="a=1")
        assert broken
        assert type(check).__name__ in broken[0]


async def test_a_check_that_declares_nothing_stops_the_start(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RequestPaths, "reads")
    with pytest.raises(AttributeError, match="reads"):
        guarded()
