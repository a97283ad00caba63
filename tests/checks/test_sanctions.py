"""Which requests a block binds, and what counts as an offence: the innocent are not bound by what others did."""

from __future__ import annotations

import pytest

from fraiseql_guard.checks.sanctions import Sanctions, owner_of
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.settings import Mode, Settings
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    BLOCKED,
    UNAUTHENTICATED,
    UNKNOWN,
    FailureReason,
    PolicyName,
    Protection,
)
from tests.support.contexts import measured, request_of

ABUSE, BRUTE_FORCE, DOS = PolicyName.RATE_LIMIT_ABUSE, PolicyName.BRUTE_FORCE, PolicyName.DOS
OPERATOR, LOCKOUT = PolicyName.OPERATOR, PolicyName.ACCOUNT_LOCKOUT
RATE, AUTH, QUERY = Protection.RATE_LIMIT, Protection.AUTH, Protection.QUERY_LIMITS
AUTOMATIC = {ABUSE, BRUTE_FORCE, DOS}


def sanctions(**modes: Mode) -> Sanctions:
    of_all = dict.fromkeys(Protection, Mode.ENFORCE) | {Protection[name]: mode for name, mode in modes.items()}
    return Sanctions(Settings.load({}, rate_limit_abuse_offences=7, dos_offences=3), of_all)


# --- which requests a block binds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "bound_by"),
    [
        ({}, {ABUSE, DOS}),  # brute force: those who send another bad token
        ({"token_failure": FailureReason.INVALID_TOKEN}, {ABUSE, BRUTE_FORCE, DOS}),
        ({"token_failure": FailureReason.MISSING_TOKEN}, {ABUSE, BRUTE_FORCE, DOS}),
        ({"token_failure": FailureReason.TOKEN_EXPIRED}, set()),
        ({"user": "alice"}, {ABUSE, BRUTE_FORCE, DOS}),  # their own
        ({"public_operation": True}, set()),
        ({"preflight": True}, set()),
        ({"socket": True, "token_pending": True}, set()),
        ({"socket": True}, {ABUSE, DOS}),
        ({"token_pending": True}, {ABUSE, DOS}),
    ],
)
def test_which_automatic_blocks_of_an_address_bind_a_request(facts, bound_by) -> None:
    assert AUTOMATIC - sanctions().exempt(request_of(**facts)) == bound_by
    assert OPERATOR not in sanctions().exempt(request_of(**facts))


def test_before_the_body_is_read_a_request_whose_token_is_missing_may_be_public() -> None:
    pending = request_of(token_pending=True)
    assert sanctions().exempt_by_head(pending) == AUTOMATIC
    assert sanctions().exempt_by_head(request_of()) == {BRUTE_FORCE}


def test_a_block_of_a_protection_that_does_not_enforce_binds_no_request_where_another_one_does() -> None:
    watching = sanctions(QUERY_LIMITS=Mode.MONITOR)
    assert watching.exempt(request_of(user="alice")) == {DOS}
    assert watching.exempt(request_of()) == {DOS, BRUTE_FORCE}
    assert watching.exempt(request_of(token_failure=FailureReason.INVALID_TOKEN)) == {DOS}
    # In a guard that only watches, the store is asked about the sanctions of guards like it.
    nowhere = sanctions(QUERY_LIMITS=Mode.MONITOR, RATE_LIMIT=Mode.MONITOR, AUTH=Mode.MONITOR)
    assert nowhere.exempt(request_of(user="alice")) == frozenset()


# --- in whose name ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "mounted", "owner"),
    [
        (ABUSE, [RATE, AUTH, QUERY], RATE),
        (BRUTE_FORCE, [RATE, AUTH, QUERY], AUTH),
        (DOS, [RATE, AUTH, QUERY], QUERY),
        (DOS, [RATE], QUERY),
        (ABUSE, [QUERY], RATE),
        (BRUTE_FORCE, [RATE, QUERY], RATE),
        (BRUTE_FORCE, [QUERY], QUERY),
        (BRUTE_FORCE, [], AUTH),
        (OPERATOR, [QUERY], QUERY),
        (OPERATOR, [AUTH, QUERY], AUTH),
        (OPERATOR, [RATE], RATE),
    ],
)
def test_brute_force_and_the_operators_blocks_hold_where_their_protection_is_not_mounted(
    policy, mounted, owner
) -> None:
    assert owner_of(policy, mounted) is owner


def test_a_protection_that_is_off_is_not_mounted() -> None:
    assert sanctions(RATE_LIMIT=Mode.OFF).owners[OPERATOR] is AUTH
    assert sanctions(RATE_LIMIT=Mode.MONITOR).owners[OPERATOR] is RATE


@pytest.mark.parametrize(("left", "seconds"), [(300.0, 300.0), (1.0, 1.0), (1.5, 1.5), (0.2, 1.0), (0.0, 1.0)])
def test_a_blocked_caller_hears_which_policy_and_a_wait_of_at_least_a_second(left, seconds) -> None:
    ctx = request_of()
    found = sanctions().refuse(Sanction(ctx.subject, DOS, left))
    assert found == Denial(BLOCKED, detail="dos", retry_after_seconds=seconds, protection=QUERY, tokens=0)


# --- offences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({}, True),
        ({"user": "alice"}, True),
        ({"allow_listed": True}, False),
        ({"allow_listed": True, "user": "alice"}, False),
        ({"shared_peer": True}, False),
        ({"shared_peer": True, "user": "alice"}, True),
        ({"cross_site_simple": True}, False),
        ({"cross_site_simple": True, "user": "alice"}, True),
        ({"address": UNKNOWN}, False),
        ({"address": UNKNOWN, "user": "alice"}, True),
    ],
)
def test_whose_offences_count(facts, counts) -> None:
    ctx, made = request_of(measured=measured(), **facts), sanctions()
    dear = Denial(BAD_REQUEST, offence=DOS)
    assert made.abuse(ctx) == (Escalation(ABUSE, 7, 300, 300) if counts else None)
    assert made.offence(ctx, dear) == (Escalation(DOS, 3, 60, 300) if counts else None)
    assert made.offence(ctx, Denial(BAD_REQUEST)) is None


def test_an_offence_is_counted_for_the_policy_that_the_refusal_names_in_the_mode_of_its_protection() -> None:
    made, ctx = sanctions(AUTH=Mode.MONITOR), request_of()
    found = made.offence(ctx, Denial(UNAUTHENTICATED, offence=BRUTE_FORCE))
    assert found is not None
    assert (found.policy, found.enforced) == (BRUTE_FORCE, False)
    abuse = made.abuse(ctx)
    assert abuse is not None
    assert abuse.enforced
