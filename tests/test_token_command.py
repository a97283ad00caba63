"""``fraiseql-guard token``: what it signs gets in, and where it refuses to sign."""

import pytest
from typer.testing import CliRunner

from fraiseql_guard.cli import app
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.tokens import TokenVerifier
from tests.support import keys

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
DEVELOPMENT = {"FRAISEQL_ENVIRONMENT": "development", "FRAISEQL_JWT_SECRET": SECRET}


def run(*arguments, **environ):
    return CliRunner().invoke(app, ["token", *map(str, arguments)], env=DEVELOPMENT | environ)


def verified(result, **options):
    assert result.exit_code == 0, result.stderr
    settings = Settings.load({}, **(options or {"jwt_secret": SECRET}))
    return TokenVerifier(settings).verify([f"Bearer {result.stdout.strip()}"])


def test_a_token_gets_in():
    identity = verified(run("--sub", "alice", "--claim", "tier=pro", "--claim", "org=7", "--claim", "scope=read write"))
    assert isinstance(identity, Identity)
    assert (identity.user_id, identity.scopes) == ("alice", ("read", "write"))
    assert identity.claims["org"] == 7
    assert identity.claims["exp"] - identity.claims["iat"] == 3600


def test_issuer_audience_and_lifetimes_are_the_configured_ones():
    environ = {
        "FRAISEQL_GUARD_JWT_ISSUER": "us", "FRAISEQL_GUARD_JWT_AUDIENCE": "api",
        "FRAISEQL_REFRESH_TOKEN_LIFETIME_SECONDS": "7200",
    }  # fmt: skip
    claims = verified(run("--sub", "alice", "--refresh", **environ)).claims
    assert (claims["iss"], claims["aud"], claims["type"], claims["exp"] - claims["iat"]) == (
        "us",
        "api",
        "refresh",
        7200,
    )
    assert verified(run("--sub", "alice", "--expires-in", "-5")).reason == "token_expired"


@pytest.mark.parametrize("family", keys.FAMILIES)
def test_a_private_key_signs_too(family, tmp_path):
    file = tmp_path / "private.pem"
    file.write_text(keys.private(family))
    result = run("--sub", "alice", "--key", file, "--kid", "one")
    assert verified(result, jwt_public_key=keys.public(keys.private(family))).user_id == "alice"


@pytest.mark.parametrize("environment", ["", "production", "Development "])
def test_it_is_for_development(environment):
    result = run("--sub", "alice", FRAISEQL_ENVIRONMENT=environment)
    if environment.strip() == "":
        assert "--outside-development" in result.stderr
    assert (result.exit_code, result.stdout) == (2, "")
    assert verified(run("--sub", "alice", "--outside-development", FRAISEQL_ENVIRONMENT=environment)).user_id == "alice"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--claim", "tier"], "NAME=VALUE"),
        (["--claim", "=pro"], "NAME=VALUE"),
        (["--algorithm", "RS256"], "RS256"),
        (["--algorithm", "none"], "none"),
        (["--key", "/nowhere"], "/nowhere"),
        (["--key", __file__], "no private key"),
    ],
)
def test_what_cannot_be_signed_is_said_in_a_line(arguments, said):
    result = run("--sub", "alice", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr


def test_without_a_key():
    result = CliRunner().invoke(app, ["token", "--sub", "alice"], env={"FRAISEQL_ENVIRONMENT": "development"})
    assert "FRAISEQL_JWT_SECRET" in result.stderr
    assert result.exit_code == 2
