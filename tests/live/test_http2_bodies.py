"""Bodies that HTTP/2 does not announce, and those that HTTP/1.1 does, on hypercorn and uvicorn."""

from __future__ import annotations

import pytest

from tests.support.asgi import EchoApp
from tests.support.at_once import over_http1, over_http2
from tests.support.in_loop import hypercorn_serves, uvicorn_serves

PAGE = {"accept": "text/html,*/*;q=0.8"}
PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "POST"}
MUTATION = [b'{"query":"mutation{deleteEverything}"}']
SERVERS = {"hypercorn over HTTP/2": (hypercorn_serves, over_http2), "hypercorn": (hypercorn_serves, over_http1),
           "uvicorn": (uvicorn_serves, over_http1)}  # fmt: skip
on_each_server = pytest.mark.parametrize(("serves", "send"), SERVERS.values(), ids=SERVERS)


@on_each_server
@pytest.mark.parametrize("chunks", [MUTATION, [b"x" * 10_000] * 5, [b"x"]], ids=["a mutation", "much", "a byte"])
async def test_what_looks_like_a_page_brings_no_body_to_the_app(guarded, secret, serves, send, chunks) -> None:
    guard = guarded(EchoApp(), jwt_secret=secret)
    async with serves(guard) as port:
        status = await send(port, "GET", "/graphql", PAGE, chunks)
        # A body that was announced makes it no page, so that a token is missing.
        assert status == (400 if send is over_http2 else 401)
        assert await send(port, "OPTIONS", "/graphql", PREFLIGHT, chunks) == 400
        assert all(scope["type"] == "lifespan" for scope in guard.app.scopes)
        assert await send(port, "GET", "/graphql", PAGE, []) == 200
        assert guard.app.bodies == [b""]


@on_each_server
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE", "POST"])
async def test_elsewhere_a_body_of_any_method_is_bounded(guarded, serves, send, method) -> None:
    guard = guarded(EchoApp(), max_request_bytes=1_000)
    async with serves(guard) as port:
        assert await send(port, method, "/page", {}, [b"x" * 600] * 2) == 413
        assert guard.app.bodies == []
        assert await send(port, method, "/page", {}, [b"x" * 500] * 2) == 200
        assert guard.app.bodies == [b"x" * 1_000]
