"""Tokens that say the right things in the wrong JSON types are none, and that any audience will do is told."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli.main import app as command
from fraiseql_guard.testing import make_token
from tests.identity.by_hand import sign
from tests.support.asgi import graphql

FAR = 4_000_000_000
CLAIMS = {"sub": "alice", "exp": FAR}
WRONG = {"aud": (5, [], [5], None), "iss": (5, ["me"]), "sub": (5, ["alice"]), "scope": (5, ["a", 5]), "iat": ("now",)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
async def test_a_claim_of_another_type_is_an_invalid_token(guarded, secret, name, value) -> None:
    guard = guarded(jwt_secret=secret, max_token_lifetime_seconds=FAR)
    assert (await graphql(guard, "{me{id}}", token=sign(CLAIMS, secret=secret))).status == 200
    reply = await graphql(guard, "{me{id}}", token=sign({**CLAIMS, name: value}, secret=secret))
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert guard.metric("fraiseql_guard_auth_failures_total", failure_reason="invalid_token") == 1


@pytest.mark.parametrize("header", [{"typ": 1}, {"cty": ["JWT"]}, {"kid": 1}, {"typ": None}], ids=str)
async def test_a_header_parameter_of_another_type_is_an_invalid_token(guarded, secret, header) -> None:
    guard = guarded(jwt_secret=secret, max_token_lifetime_seconds=FAR)
    token = sign(CLAIMS, secret=secret, header={"alg": "HS256", **header})
    assert (await graphql(guard, "{me{id}}", token=token)).status == 401
    token = sign(CLAIMS, secret=secret, header={"alg": "HS256", "typ": "at+jwt", "cty": "x"})
    assert (await graphql(guard, "{me{id}}", token=token)).status == 200


@pytest.mark.parametrize(("options", "times"), [({}, 1), ({"jwt_audience": "api"}, 0)], ids=["any", "required"])
async def test_the_first_token_for_an_audience_tells_that_none_is_required(guarded, secret, options, times) -> None:
    guard = guarded(jwt_secret=secret, **options)
    for user in ("alice", "bob"):
        token = make_token(secret, sub=user, aud="api")
        assert (await graphql(guard, "{me{id}}", token=token)).status == 200
    told = [line for line in guard.lines() if "FRAISEQL_GUARD_JWT_AUDIENCE" in str(line)]
    assert len(told) == times


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"FRAISEQL_JWT_SECRET": "x" * 40}, True),
        ({"FRAISEQL_JWT_SECRET": "x" * 40, "FRAISEQL_GUARD_JWT_AUDIENCE": "api"}, False),
        ({}, False),
    ],
    ids=["any", "required", "no key"],
)
def test_the_command_tells_it_as_well(monkeypatch, environment, told) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(command, ["config"])
    assert done.exit_code == 0
    assert ("warning: FRAISEQL_GUARD_JWT_AUDIENCE is not set" in done.stderr) is told
