"""Attack or misconfiguration: the cases that the runbooks tell apart."""

import pytest

from fraiseql_guard.core import signals as s
from fraiseql_guard.operations.log_analysis.log_line import LogFilter
from fraiseql_guard.operations.log_analysis.summary import LogSummary
from fraiseql_guard.operations.log_analysis.verdict import CauseKind, judge
from fraiseql_guard.operations.runbooks.model import Runbook
from tests.operations.log_analysis.lines import Log


def one_address_floods(log):
    log.write(s.RATE_LIMIT, 90, ip_address="203.0.113.9").write(s.RATE_LIMIT, 10, user_id="bob", ip_address="10.0.0.1")


def a_user_goes_on_from_everywhere(log):
    for n in range(40):
        log.write(s.RATE_LIMIT, 2, user_id="bob", ip_address=f"198.51.100.{n}")


def everybody_meets_the_limit(log):
    for n in range(30):
        log.write(s.RATE_LIMIT, 3, user_id=f"user{n}", ip_address=f"198.51.100.{n}", policy="authenticated")


def somebody_guesses_tokens(log):
    log.write(s.AUTH_FAILURE, 40, failure_reason="invalid_token", ip_address="203.0.113.9")
    log.write(s.BRUTE_FORCE_DETECTED, ip_address="203.0.113.9")


def the_secret_was_rotated_on_one_side(log):
    for n in range(40):
        log.write(s.AUTH_FAILURE, 2, failure_reason="invalid_signature", ip_address=f"198.51.100.{n}")


def tokens_expire(log):
    for n in range(5):
        log.write(s.AUTH_FAILURE, 9, failure_reason="token_expired", ip_address=f"198.51.100.{n}")


def somebody_probes_the_limits(log):
    for n in range(40):
        log.write(s.EXPENSIVE_QUERY, 1, query_hash=f"{n:064x}", ip_address="203.0.113.9")
    log.write(s.DOS_DETECTED, ip_address="203.0.113.9")


def a_new_client_asks_for_too_much(log):
    for n in range(30):
        log.write(s.EXPENSIVE_QUERY, 2, query_hash="a" * 64, user_id=f"user{n}", ip_address=f"198.51.100.{n}")


def one_table_is_slow(log):
    for n in range(30):
        log.write(s.SLOW_QUERY, 1, table_name="posts", query_type="select", user_id=f"user{n}")


def one_user_makes_the_database_slow(log):
    for n in range(30):
        log.write(s.DB_QUERY_TIMEOUT, 1, operation=f"o{n % 7}", user_id="bob")


def a_single_refusal(log):
    log.write(s.RATE_LIMIT, 1, ip_address="203.0.113.9")


CASES = [
    (one_address_floods, Runbook.RATE_LIMITING, CauseKind.ATTACK, "203.0.113.9"),
    (a_user_goes_on_from_everywhere, Runbook.RATE_LIMITING, CauseKind.ATTACK, "bob"),
    (everybody_meets_the_limit, Runbook.RATE_LIMITING, CauseKind.MISCONFIGURATION, "30 users"),
    (somebody_guesses_tokens, Runbook.AUTHENTICATION, CauseKind.ATTACK, "203.0.113.9"),
    (the_secret_was_rotated_on_one_side, Runbook.AUTHENTICATION, CauseKind.MISCONFIGURATION, "secret"),
    (tokens_expire, Runbook.AUTHENTICATION, CauseKind.MISCONFIGURATION, "token_expired"),
    (somebody_probes_the_limits, Runbook.QUERY_DOS, CauseKind.ATTACK, "40 different queries"),
    (a_new_client_asks_for_too_much, Runbook.QUERY_DOS, CauseKind.MISCONFIGURATION, "new release"),
    (one_table_is_slow, Runbook.DATABASE, CauseKind.MISCONFIGURATION, "posts"),
    (one_user_makes_the_database_slow, Runbook.DATABASE, CauseKind.ATTACK, "bob"),
    (a_single_refusal, Runbook.RATE_LIMITING, CauseKind.UNCLEAR, "too few"),
]


@pytest.mark.parametrize(("happens", "runbook", "kind", "reason"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_it_is_and_why(happens, runbook, kind, reason):
    log = Log()
    happens(log)
    summary = LogSummary()
    summary.read(log.text.splitlines(), LogFilter())
    verdict = judge(runbook, summary.incidents[runbook])
    assert verdict.kind is kind, verdict
    assert any(reason in each for each in verdict.reasons), verdict
