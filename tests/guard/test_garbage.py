"""A request leaves nothing to the garbage collector: a full collection stops a large app for longer than any deadline.

A new document leaves the parser's tokens, which point at each other; a remembered one does not.
"""

import gc

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request


@pytest.mark.parametrize("kind", ["query", "late", "hooked", "unauthenticated", "page"])
async def test_served_requests_leave_no_reference_cycles(guarded, secret, kind) -> None:
    class Quiet(EchoApp):
        async def __call__(self, scope, receive, send):
            await super().__call__(scope, receive, send)
            self.scopes.clear()
            self.bodies.clear()

    async def active(identity):
        return "active"

    hook = active if kind == "hooked" else None
    late = {"query_timeout": 0.06} if kind == "late" else {}
    app = Quiet(seconds=30 if late else 0)
    guard = guarded(app, jwt_secret=secret, rate_limit_authenticated="100000/minute", user_status=hook, **late)
    token = make_token(secret, sub="alice")

    async def once() -> None:
        if kind == "page":
            assert (await request(guard, "GET", "/page", client=("10.0.0.1", 1))).status == 200
        else:
            expected = {"unauthenticated": 401, "late": 504}.get(kind, 200)
            reply = await graphql(guard, "{me{id}}", token=None if expected == 401 else token)
            assert reply.status == expected

    for _ in range(5):
        await once()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            await once()
        assert gc.collect() == 0
    finally:
        gc.enable()
