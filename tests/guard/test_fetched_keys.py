"""A guard whose keys are behind an address: who waits, who is refused, and that an outage costs no caller."""

import asyncio
import json

import pytest

from fraiseql_guard.testing import make_token
from tests.support import keys
from tests.support.asgi import graphql, request
from tests.support.key_server import KeyServer
from tests.support.waiting import until

ONE, TWO = keys.private("P-256"), keys.private("P-256", 1)
FAILURES = "fraiseql_guard_auth_failures_total"


def jwks(*privates):
    return keys.jwk_set(*(keys.jwk(each, kid=f"key-{number}") for number, each in enumerate(privates))).encode()


@pytest.fixture
async def server():
    async with KeyServer() as found:
        found.body = jwks(ONE)
        yield found


@pytest.fixture
async def guard(guarded, clock, server):
    found = guarded(jwks_url=server.url, clock=clock)
    yield found
    await found.guard.aclose()


def token(private=ONE, kid="key-0", **more):
    return make_token(private, sub="alice", kid=kid, **more)


async def test_the_first_callers_wait_for_the_one_flight(guard, server) -> None:
    server.seconds = 0.05
    replies = await asyncio.gather(*(graphql(guard, "{me{id}}", token=token()) for _ in range(20)))
    assert [reply.status for reply in replies] == [200] * 20
    assert server.requests == 1
    assert guard.app.scopes[-1]["user"].identity == "alice"
    assert guard.metric("fraiseql_guard_token_keys_total", key="jwks") == 20


async def test_the_keys_are_there_before_the_first_request(guard, server) -> None:
    told, said = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(guard({"type": "lifespan"}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    await until(guard.guard.runtime.verifier.fingerprints)
    server.down = True
    assert (await graphql(guard, "{me{id}}", token=token())).status == 200
    assert server.requests == 1
    await told.put({"type": "lifespan.shutdown"})
    await task
    assert [said.get_nowait()["type"] for _ in range(2)] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.fixture
async def outage(guard, server):
    """Forty requests, each with a key of its own, while the issuer is down."""
    server.down = True
    return [await graphql(guard, "{me{id}}", token=token(kid=f"key-{number}")) for number in range(40)]


async def test_while_an_issuer_is_down_its_tokens_are_answered_503(guard, outage) -> None:
    assert {(reply.status, reply.code) for reply in outage} == {(503, "KEYS_UNAVAILABLE")}
    assert all(int(reply.header("retry-after") or 0) >= 1 for reply in outage)
    assert guard.app.bodies == []


async def test_an_outage_of_an_issuer_is_no_failure_of_a_caller(guard, outage) -> None:
    assert (guard.metric(FAILURES), guard.metric("fraiseql_guard_sanctions_total")) == (0, 0)
    assert guard.metric("fraiseql_guard_refusals_total", protection="auth", code="KEYS_UNAVAILABLE") == 40


async def test_an_outage_of_an_issuer_is_told_once(guard, outage) -> None:
    assert guard.metric("fraiseql_guard_key_source_errors_total", source="url") >= 1
    (line,) = guard.lines("guard.key_source_failed")
    assert (line["context"]["source"], line["context"]["older_keys_in_force"]) == ("url", False)


async def test_an_outage_of_an_issuer_does_not_concern_requests_that_need_no_key(guard, outage) -> None:
    assert (await graphql(guard, "{me{id}}")).status == 401
    assert (await graphql(guard, "{me{id}}", token="not.a.token")).status == 401


async def test_an_issuer_that_is_back_is_asked_again(guard, outage, server) -> None:
    server.down = False
    guard.advance(60)
    assert (await graphql(guard, "{me{id}}", token=token())).status == 200
    assert len(guard.lines("guard.key_source_recovered")) == 1


async def test_a_new_key_is_fetched_with_its_first_token(guard, server) -> None:
    assert (await graphql(guard, "{me{id}}", token=token())).status == 200
    server.body = jwks(ONE, TWO)
    early = await graphql(guard, "{me{id}}", token=token(TWO, "key-1"))
    assert (early.status, early.code) == (503, "KEYS_UNAVAILABLE")  # the set has just come: no fetch, and no failure
    guard.advance(30)
    assert (await graphql(guard, "{me{id}}", token=token(TWO, "key-1"))).status == 200
    assert server.requests == 2
    assert guard.metric(FAILURES) == 0


async def test_a_kid_that_the_issuer_does_not_know_is_a_failure_once_the_issuer_has_said_so(guard, server) -> None:
    await graphql(guard, "{me{id}}", token=token())
    statuses = [(await graphql(guard, "{me{id}}", token=token(TWO, "made-up"))).status for _ in range(20)]
    guard.advance(30)
    statuses.append((await graphql(guard, "{me{id}}", token=token(TWO, "made-up"))).status)
    assert statuses == [503] * 20 + [401]
    assert server.requests == 2
    assert guard.metric(FAILURES, failure_reason="invalid_signature") == guard.metric(FAILURES) == 1


async def test_a_wrong_signature_under_a_known_kid_is_a_failure_at_once(guard, server) -> None:
    await graphql(guard, "{me{id}}", token=token())
    guard.advance(60)
    assert (await graphql(guard, "{me{id}}", token=token(TWO, "key-0"))).status == 401
    assert server.requests == 1


async def test_a_hung_issuer_holds_a_request_for_a_bounded_time_and_no_other_request_at_all(
    guard, server, monkeypatch
) -> None:
    monkeypatch.setattr("fraiseql_guard.identity.tokens.KEYS_SECONDS", 1.0)
    server.seconds = 60
    waiting = asyncio.create_task(graphql(guard, "{me{id}}", token=token()))
    await asyncio.sleep(0)
    assert (await graphql(guard, "{me{id}}")).status == 401
    assert not waiting.done()
    assert (await waiting).status == 503


async def test_where_no_token_is_needed_an_outage_leaves_the_caller_anonymous(guard, server) -> None:
    server.down = True
    assert (await request(guard, "GET", "/page", token=token())).status == 200
    assert guard.app.scopes[-1]["user"].is_authenticated is False


async def test_in_monitor_mode_an_outage_stops_nobody(guarded, server) -> None:
    server.down = True
    guard = guarded(jwks_url=server.url, mode="monitor")
    assert (await graphql(guard, "{me{id}}", token=token())).status == 200
    assert guard.metric("fraiseql_guard_would_refuse_total", code="KEYS_UNAVAILABLE") == 1
    await guard.guard.aclose()


async def test_secrets_and_fetched_keys_side_by_side(guarded, server, secret) -> None:
    guard = guarded(jwks_url=server.url, jwt_secret=secret)
    server.down = True
    assert (await graphql(guard, "{me{id}}", token=make_token(secret, sub="bob"))).status == 200
    assert (await graphql(guard, "{me{id}}", token=token())).status == 503
    assert (await graphql(guard, "{me{id}}", token=make_token("x" * 40, sub="bob", kid="key-9"))).status == 401
    await guard.guard.aclose()


async def test_what_an_issuer_serves_appears_in_no_answer(guard, server) -> None:
    server.body = b'{"keys": [{"kty": "oct", "k": "c2VjcmV0LWluLWEtc2V0LXNlY3JldC1pbi1hLXNldC0"}]}'
    reply = await graphql(guard, "{me{id}}", token=token())
    assert reply.status == 503
    assert "c2VjcmV0" not in json.dumps(guard.lines()) + reply.body.decode()
