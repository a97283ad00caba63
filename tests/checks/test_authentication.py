"""What becomes of a request by what is found in its token: who it is, whether it may go on, what its refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_guard.checks.authentication import Authentication, PublicOperations, refuse
from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import (
    AMBIGUOUS_TOKEN,
    BLOCKED,
    KEYS_UNAVAILABLE,
    RATE_LIMITED,
    UNAUTHENTICATED,
    FailureReason,
    PolicyName,
    Protection,
)
from fraiseql_guard.identity.credentials import CredentialSources
from fraiseql_guard.identity.tokens import KeysMissing, TokenFailure
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import measured, request_of

ALICE = Identity("alice", Subject("user", "alice"), {}, "current")
MISSING, EXPIRED = TokenFailure(FailureReason.MISSING_TOKEN), TokenFailure(FailureReason.TOKEN_EXPIRED)
INVALID = TokenFailure(FailureReason.INVALID_TOKEN)


class Finds:
    """A verifier that finds what it is told to, and counts what it was asked to verify."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.asked: list[list[str]] = []
        self.known = False

    def verify(self, lines: Any) -> Any:
        self.asked.append(list(lines))
        return self.found

    def knows(self, lines: Any) -> bool:
        return self.known


class Desk:
    """The check with a verifier that finds this."""

    def __init__(self, found: Any, *, modes: dict[Protection, Mode] | None = None, **settings: Any) -> None:
        self.verifier = Finds(found)
        self.clock = ManualClock()
        self.blocked = BlockedAddresses(clock=self.clock)
        loaded = Settings.load({}, jwt_secret="s" * 32, **settings)
        verifier: Any = self.verifier
        self.check = Authentication(
            verifier,
            CredentialSources(loaded, api_keys="api_key_header" in settings),
            loaded,
            self.blocked,
            dict.fromkeys(Protection, Mode.ENFORCE) | (modes or {}),
        )

    def decide(self, ctx: RequestContext) -> Denial | None:
        return self.check.decide(ctx)


def asking(*tokens: str, needs_token: bool = True, **facts: Any) -> RequestContext:
    lines = tuple((b"authorization", f"Bearer {token}".encode()) for token in tokens)
    return request_of(**{"header_lines": lines, "place": Place(needs_token=needs_token), **facts})


# --- what is found ---------------------------------------------------------------------------------------------------


def test_a_verified_user_is_the_caller_from_then_on() -> None:
    desk, ctx = Desk(ALICE), asking("good")
    assert desk.decide(ctx) is None
    assert (ctx.identity, ctx.subject, ctx.token_failure) == (ALICE, ALICE.subject, None)
    assert (desk.verifier.asked, list(ctx.credentials)) == ([["Bearer good"]], ["Bearer good"])


@pytest.mark.parametrize(
    ("reason", "offence", "tokens", "challenge"),
    [
        (FailureReason.MISSING_TOKEN, None, 1, b"Bearer"),
        (FailureReason.TOKEN_EXPIRED, None, 0, b'Bearer error="invalid_token", error_description="The token expired"'),
        (FailureReason.INVALID_TOKEN, PolicyName.BRUTE_FORCE, 1, b'Bearer error="invalid_token"'),
        (FailureReason.INVALID_SIGNATURE, PolicyName.BRUTE_FORCE, 1, b'Bearer error="invalid_token"'),
        (FailureReason.USER_NOT_FOUND, None, 1, b'Bearer error="invalid_token"'),
    ],
)
def test_a_failure_is_refused_with_its_challenge_and_punished_only_where_it_is_no_accident(
    reason, offence, tokens, challenge
) -> None:
    expected = Denial(
        UNAUTHENTICATED, reason=reason, offence=offence, tokens=tokens, headers=((b"www-authenticate", challenge),)
    )
    assert refuse(reason) == expected
    ctx = asking("bad")
    assert Desk(TokenFailure(reason, token_prefix="abc", claims={"sub": "a"})).decide(ctx) == expected
    assert (ctx.token_failure, ctx.token_prefix, ctx.token_claims) == (reason, "abc", {"sub": "a"})
    assert (ctx.identity, ctx.token_pending) == (None, False)


def test_where_no_token_is_needed_a_caller_with_a_bad_one_is_anonymous() -> None:
    ctx = asking("bad", needs_token=False)
    assert Desk(INVALID).decide(ctx) is None
    assert (ctx.identity, ctx.token_failure) == (None, None)


def test_where_tokens_are_optional_a_missing_one_is_no_failure_and_a_bad_one_is() -> None:
    ctx = asking()
    assert Desk(MISSING, auth_required=False).decide(ctx) is None
    assert (ctx.token_failure, ctx.token_pending) == (None, False)
    assert Desk(MISSING).decide(asking()) == refuse(FailureReason.MISSING_TOKEN)
    assert Desk(INVALID, auth_required=False).decide(asking("bad")) == refuse(FailureReason.INVALID_TOKEN)


@pytest.mark.parametrize("facts", [{"preflight": True}, {"page": True}])
def test_browsers_preflights_and_pages_carry_no_token(facts) -> None:
    desk = Desk(MISSING)
    assert desk.decide(asking(**facts)) is None
    assert desk.verifier.asked == []


# --- public operations -----------------------------------------------------------------------------------------------

PUBLIC = {"public_operations": "login, refresh"}


@pytest.mark.parametrize(
    ("found", "facts", "pending"),
    [
        (MISSING, {}, True), (EXPIRED, {}, True), (INVALID, {}, False),
        (MISSING, {"operation": False}, False), (EXPIRED, {"operation": False}, False),
    ],
)  # fmt: skip
def test_without_a_valid_token_the_body_decides_where_operations_are_public(found, facts, pending) -> None:
    ctx = asking("bad", **facts)
    assert (Desk(found, **PUBLIC).decide(ctx) is None) is pending
    assert (ctx.token_pending, ctx.token_failure) == (pending, found.reason)
    assert Desk(found).decide(asking("bad", **facts)) == refuse(found.reason)


@pytest.mark.parametrize(
    ("asked", "public"),
    [
        (measured(fields=("login",)), True),
        (measured("mutation", fields=("login", "refresh")), True),
        (measured(fields=("login", "me")), False),
        (measured(fields=()), False),
        (measured(fields=("login",), unmeasured=1), False),
        (None, False),
    ],
)
def test_a_request_without_a_token_calls_public_operations_alone_or_is_refused(asked, public) -> None:
    check = PublicOperations(Settings.load({}, **PUBLIC))
    for reason in (FailureReason.MISSING_TOKEN, FailureReason.TOKEN_EXPIRED):
        ctx = request_of(measured=asked, token_pending=True, token_failure=reason)
        assert check.decide(ctx) == (None if public else refuse(reason))
        assert (ctx.public_operation, ctx.token_pending) == (public, False)


@pytest.mark.parametrize("facts", [{}, {"token_failure": FailureReason.TOKEN_EXPIRED}, {"token_pending": True}])
def test_of_other_requests_the_body_decides_nothing(facts) -> None:
    ctx = request_of(measured=measured(fields=("me",)), **facts)
    assert PublicOperations(Settings.load({}, **PUBLIC)).decide(ctx) is None
    assert not ctx.public_operation


# --- keys that are not at hand ---------------------------------------------------------------------------------------


def test_a_token_whose_key_must_be_fetched_is_decided_later() -> None:
    desk, ctx = Desk(KeysMissing(2.5)), asking("new")
    assert desk.decide(ctx) is None
    assert ctx.keys_missing
    assert desk.check.decide_at_last(ctx, ALICE) is None
    assert (ctx.keys_missing, ctx.identity) == (False, ALICE)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (INVALID, refuse(FailureReason.INVALID_TOKEN)),
        (KeysMissing(2.5), Denial(KEYS_UNAVAILABLE, retry_after_seconds=2.5, protection=Protection.AUTH)),
        (KeysMissing(2.5, flood=True), Denial(RATE_LIMITED, retry_after_seconds=2.5, protection=Protection.AUTH)),
    ],
)
def test_what_the_source_of_keys_leaves_undecided_is_refused_where_a_token_is_needed(found, expected) -> None:
    desk, ctx = Desk(KeysMissing(2.5)), asking("new", keys_missing=True)
    assert desk.check.decide_at_last(ctx, found) == expected
    assert not ctx.keys_missing
    elsewhere = asking("new", needs_token=False)
    assert desk.check.decide_at_last(elsewhere, found) is None
    assert elsewhere.identity is None


# --- blocked addresses -----------------------------------------------------------------------------------------------


def test_a_blocked_address_has_ten_new_tokens_verified_and_those_that_were_good_always() -> None:
    desk = Desk(INVALID)
    blocked = Denial(BLOCKED, detail="dos", protection=Protection.QUERY_LIMITS, tokens=0)
    desk.blocked.note(request_of().address_subject, blocked)
    found = [desk.decide(asking("bad")) for _ in range(11)]
    assert [each and each.code for each in found] == [UNAUTHENTICATED] * 10 + [BLOCKED]
    assert found[-1] is not None
    assert found[-1].reason is FailureReason.INVALID_TOKEN  # counts like its cause
    assert len(desk.verifier.asked) == 10
    desk.verifier.known, desk.verifier.found = True, ALICE
    assert desk.decide(asking("good")) is None
    desk.verifier.known, desk.verifier.found = False, MISSING
    assert desk.decide(asking()) == refuse(FailureReason.MISSING_TOKEN)  # without a token there is nothing to verify
    assert desk.decide(asking("bad", address="192.0.2.9")) is not None
    assert len(desk.verifier.asked) == 13


def test_a_flood_of_expired_tokens_meets_its_rate_without_another_reason() -> None:
    desk = Desk(EXPIRED)
    short = Denial(RATE_LIMITED, detail="token_expired: 20/minute")
    desk.blocked.note(request_of().address_subject, short)
    assert [desk.decide(asking("old")) for _ in range(11)][-1] is short


def test_a_block_that_is_only_watched_keeps_no_token_from_being_verified() -> None:
    desk = Desk(INVALID, modes={Protection.QUERY_LIMITS: Mode.MONITOR})
    desk.blocked.note(request_of().address_subject, Denial(BLOCKED, protection=Protection.QUERY_LIMITS))
    assert {each and each.code for each in [desk.decide(asking("bad")) for _ in range(12)]} == {UNAUTHENTICATED}


# --- several credentials, cookies, sockets ---------------------------------------------------------------------------


def test_several_different_credentials_are_refused_where_one_is_needed() -> None:
    cookie = (b"cookie", b"session=other")
    lines = ((b"authorization", b"Bearer one"), cookie, (b"content-type", b"application/json"))
    facts = {"header_lines": lines, "headers": dict(lines)}
    desk = Desk(ALICE, token_cookie="session")
    assert desk.check.reads.headers >= {b"authorization", b"cookie"}
    assert desk.decide(asking(**facts, method="POST")) == Denial(AMBIGUOUS_TOKEN)
    ctx = asking(**facts, needs_token=False)
    assert desk.decide(ctx) is None
    assert (ctx.identity, desk.verifier.asked) == (None, [])


def test_a_page_logs_in_with_a_cookie_that_no_longer_holds() -> None:
    lines = ((b"cookie", b"session=old"), (b"content-type", b"application/json"))
    ambient = {"header_lines": lines, "headers": dict(lines)}
    ctx = asking(**ambient)
    assert Desk(INVALID, token_cookie="session", **PUBLIC).decide(ctx) is None
    assert ctx.token_pending
    assert Desk(INVALID, token_cookie="session").decide(asking(**ambient)) == refuse(FailureReason.INVALID_TOKEN)


@pytest.mark.parametrize("guarded", [True, False])
def test_an_upgrade_may_bring_its_token_in_the_first_message_on_graphql_paths(guarded) -> None:
    desk = Desk(MISSING)
    ctx = asking(socket=True, guarded=guarded)
    denial = desk.decide(ctx)
    assert (denial is None, ctx.token_pending) == (guarded, guarded)
    ctx = asking("good", socket=True, guarded=guarded)
    desk.verifier.found = ALICE
    assert desk.decide(ctx) is None
    assert (ctx.identity, list(ctx.credentials)) == (ALICE, ["Bearer good"])
    assert desk.decide(asking("one", "two", socket=True, guarded=guarded)) == Denial(AMBIGUOUS_TOKEN)


def test_what_is_sent_over_a_socket_has_the_credentials_that_its_reader_has_found() -> None:
    desk = Desk(ALICE, api_key_header="x-api-key")
    ctx = asking(carrier=request_of(), credentials=["Bearer of the message"])
    assert desk.decide(ctx) is None
    assert desk.verifier.asked == [["Bearer of the message"]]
