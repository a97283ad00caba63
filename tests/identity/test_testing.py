"""The helpers that users' own tests take from fraiseql_guard.testing."""

import pytest

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock, make_token

SECRET = "a-secret-of-at-least-thirty-two-bytes"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def verifier(clock):
    return TokenVerifier(Settings.load({}, jwt_secret=SECRET), clock=clock)


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(10.0)
    assert (clock(), clock()) == (10.0, 10.0)
    clock.advance(2.5)
    assert clock() == 12.5


def test_a_made_token_verifies(verifier, clock):
    identity = verifier.verify([f"Bearer {make_token(SECRET, sub='u1', clock=clock, scope='a', org=7)}"])
    assert isinstance(identity, Identity)
    assert identity.user_id == "u1"
    assert identity.scopes == ("a",)
    assert identity.claims == {"sub": "u1", "iat": clock(), "exp": clock() + 3600, "scope": "a", "org": 7}


def test_it_lives_as_long_as_configured(verifier, clock, monkeypatch):
    monkeypatch.setenv("FRAISEQL_TOKEN_LIFETIME_SECONDS", "7200")
    identity = verifier.verify([f"Bearer {make_token(SECRET, sub='u1', clock=clock)}"])
    assert identity.expires_at == clock() + 7200
    monkeypatch.setenv("FRAISEQL_TOKEN_LIFETIME_SECONDS", "an hour")
    with pytest.raises(SettingsError, match="FRAISEQL_TOKEN_LIFETIME_SECONDS='an hour'"):
        make_token(SECRET, sub="u1")


def test_it_may_be_expired_from_the_start(verifier, clock):
    failure = verifier.verify([f"Bearer {make_token(SECRET, sub='u1', expires_in_seconds=-1, clock=clock)}"])
    assert isinstance(failure, TokenFailure)
    assert failure.reason is FailureReason.TOKEN_EXPIRED


def test_without_a_clock_it_is_valid_now():
    verifier = TokenVerifier(Settings.load({}, jwt_secret=SECRET))
    assert isinstance(verifier.verify([f"Bearer {make_token(SECRET, sub='u1')}"]), Identity)
