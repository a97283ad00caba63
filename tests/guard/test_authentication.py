"""Who gets in, who does not, and what that leaves behind."""

import json

import pytest

from fraiseql_guard.testing import make_token
from tests.support.asgi import EchoApp, graphql, request

REASONS = "fraiseql_auth_failures_total"


@pytest.fixture
def guard(guarded, secret):
    return guarded(jwt_secret=secret)


async def test_a_valid_token_gets_in_and_the_app_sees_the_user(guard, secret) -> None:
    reply = await graphql(guard, "{me{id}}", token=make_token(secret, sub="alice", scope="read write"))
    assert reply.status == 200
    scope = guard.app.scopes[-1]
    assert (scope["user"].identity, scope["user"].is_authenticated) == ("alice", True)
    assert {"authenticated", "read", "write"} <= set(scope["auth"].scopes)
    assert guard.metric("fraiseql_auth_success_total") == 1
    assert guard.metric("fraiseql_guard_token_keys_total", key="current") == 1
    (line,) = guard.lines("security.auth_success")
    assert line["context"]["user_id"] == "alice"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing_token"),
        ("Bearer not-a-token", "invalid_token"),
        ("Bearer a.b.c", "invalid_token"),
        ("Basic YWxpY2U6cHc=", "invalid_token"),
    ],
)
async def test_a_refusal_says_nothing_but_is_counted_by_its_reason(guard, header, reason) -> None:
    reply = await graphql(guard, "{me{id}}", headers={"authorization": header} if header else {})
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert reason not in reply.body.decode()
    assert (reply.header("www-authenticate") or "").startswith("Bearer")
    assert guard.metric(REASONS, failure_reason=reason, user_id="anonymous", ip_address="203.0.113.7") == 1
    (line,) = guard.lines("security.auth_failure")
    assert line["context"]["failure_reason"] == reason
    assert guard.app.bodies == []


async def test_during_a_rotation_three_keys_hold_and_no_other(guarded, secret) -> None:
    old, new, foreign = "o" * 32, "n" * 32, "f" * 32
    guard = guarded(jwt_secret=secret, jwt_secret_old=old, jwt_secret_new=new)
    for key in (secret, old, new):
        assert (await graphql(guard, "{me{id}}", token=make_token(key, sub="alice"))).status == 200
    for key in ("current", "old", "new"):
        assert guard.metric("fraiseql_guard_token_keys_total", key=key) == 1
    assert (await graphql(guard, "{me{id}}", token=make_token(foreign, sub="alice"))).status == 401
    assert guard.metric(REASONS, failure_reason="invalid_signature", user_id="anonymous") == 1


async def test_an_expired_token_is_refused_with_its_times_and_never_written(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret)
    expired = make_token(secret, sub="alice", expires_in_seconds=-10)
    reply = await graphql(guard, "{me{id}}", token=expired)
    assert reply.status == 401
    assert "invalid_token" in (reply.header("www-authenticate") or "")
    (line,) = guard.lines("security.token_expired")
    assert line["context"]["user_id"] == "alice"
    assert line["context"]["token_expires_at"] < line["context"]["current_time"]
    for written in guard.lines():
        assert expired not in json.dumps(written)


async def test_the_fifteenth_bad_token_brings_a_block_of_the_address(guard, secret) -> None:
    statuses = [(await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="alice"))).status for _ in range(18)]
    assert statuses == [401] * 15 + [403] * 3
    (line,) = guard.lines("security.brute_force_detected")
    assert line["context"] == {
        "user_id": "anonymous", "ip_address": "203.0.113.7", "failed_attempts": 15, "time_window_seconds": 300,
        "action": "account_locked",
    } | {key: line["context"][key] for key in line["context"] if key in ("sanction_seconds", "request_id")}  # fmt: skip
    assert guard.metric("fraiseql_guard_sanctions_total", policy="brute_force") == 1
    assert guard.metric(REASONS, failure_reason="invalid_signature") == 18  # the blocked go on counting, as no offence
    blocked = await graphql(guard, "{me{id}}", token="a.b.c")
    assert (blocked.status, blocked.code) == (403, "BLOCKED")
    assert 290 <= int(blocked.header("retry-after") or 0) <= 300


async def test_a_block_for_bad_tokens_meets_nobody_innocent(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, public_operations="login")
    for _ in range(16):
        await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="alice"))
    valid, expired = make_token(secret, sub="alice"), make_token(secret, sub="alice", expires_in_seconds=-5)
    assert (await graphql(guard, "{me{id}}", token=valid)).status == 200  # same address, valid token
    assert (await graphql(guard, "{me{id}}", token=expired)).status == 401  # genuine: it must refresh
    assert (await graphql(guard, "mutation{login(name:1){token}}")).status == 200  # people can still log in
    preflight = {"origin": "https://a.example.org", "access-control-request-method": "POST"}
    assert (await request(guard, "OPTIONS", headers=preflight)).status == 200
    assert (await graphql(guard, "{me{id}}")).status == 403  # anonymous where a token is required
    assert (await graphql(guard, "{me{id}}", client=("203.0.113.8", 1))).status == 401  # another caller


async def test_missing_and_expired_tokens_are_never_punished(guard, secret) -> None:
    expired = make_token(secret, sub="alice", expires_in_seconds=-5)
    for _ in range(40):
        assert (await graphql(guard, "{me{id}}", token=expired)).status == 401
        assert (await graphql(guard, "{me{id}}")).status == 401
    assert guard.metric("fraiseql_guard_sanctions_total") == 0


async def test_behind_an_untrusted_proxy_nobody_is_blocked_for_another(guard) -> None:
    hidden = {"client": ("10.0.0.5", 1), "headers": {"x-forwarded-for": "198.51.100.1"}}
    for _ in range(20):
        reply = await graphql(guard, "{me{id}}", token="a.b.c", **hidden)
        assert reply.status == 401
    assert guard.metric("fraiseql_guard_shared_peer") == 1
    (line,) = guard.lines("guard.shared_peer")  # once a minute, not for every request
    assert line["context"]["variable"] == "FRAISEQL_GUARD_TRUSTED_PROXIES"


async def test_a_name_in_an_unverified_token_counts_for_nobody(guard) -> None:
    await graphql(guard, "{me{id}}", token=make_token("x" * 32, sub="victim"))
    assert guard.metric(REASONS, user_id="victim") == 0
    assert "victim" not in json.dumps(guard.lines())


async def test_public_operations_are_callable_without_a_token_and_only_they(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, public_operations="login,register")
    assert (await graphql(guard, "mutation{login{token}}")).status == 200
    assert (await graphql(guard, "mutation{a:login{token} b:register{id}}")).status == 200
    assert (await graphql(guard, "mutation{login{token} deleteAll{id}}")).status == 401
    assert (await graphql(guard, "mutation{login: deleteAll{id}}")).status == 401
    two = {"query": "mutation A{login{token}} mutation B{deleteAll{id}}", "operationName": "A"}
    assert (await request(guard, body=json.dumps(two).encode())).status == 401
    assert (await graphql(guard, "mutation{login{token}}", token="a.b.c")).status == 401
    assert (await request(guard, body=b"not json")).status in (400, 401)


async def test_public_operations_have_their_own_bucket(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, public_operations="login", rate_limit_public="2/minute", rate_limit_burst=0)
    assert (await graphql(guard, "mutation{a:login{t} b:login{t}}")).status == 200  # one token a root field
    assert (await graphql(guard, "mutation{login{t}}")).status == 429
    assert (await graphql(guard, "{me{id}}")).status == 401  # the other bucket still has room


async def test_without_auth_required_no_token_is_anonymous_and_a_bad_one_is_refused(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, auth_required=False)
    assert (await graphql(guard, "{me{id}}")).status == 200
    assert guard.app.scopes[-1]["user"].is_authenticated is False
    assert (await graphql(guard, "{me{id}}", token="a.b.c")).status == 401


async def test_more_paths_need_a_token_if_they_are_named(guarded, secret) -> None:
    guard = guarded(jwt_secret=secret, auth_paths="/api")
    assert (await request(guard, "GET", "/page")).status == 200
    assert (await request(guard, "GET", "/api/users")).status == 401
    assert (await request(guard, "GET", "/api/users", token=make_token(secret, sub="alice"))).status == 200


async def test_without_a_key_everybody_is_anonymous(guarded) -> None:
    guard = guarded(EchoApp())
    assert (await graphql(guard, "{me{id}}", token="anything")).status == 200
