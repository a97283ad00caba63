"""FraiseQL's own security events reach the guard's log, and failed authentications its metrics."""

from __future__ import annotations

import logging

import pytest

from tests.support.processes import needs_fraiseql

pytestmark = needs_fraiseql


@pytest.fixture
def bridged(guarded):
    from fraiseql_guard.fraiseql.security import BridgedSecurityLogger

    guard = guarded()
    return guard, BridgedSecurityLogger(lambda: guard.guard.recorder)


def test_a_denied_authorization_is_an_auth_failure_of_the_contract(bridged) -> None:
    guard, security = bridged
    security.log_authorization_denied(user_id="ada", resource="Post", action="delete", reason="no")
    (line,) = guard.lines("security.auth_failure")
    assert (line["context"]["failure_reason"], line["context"]["reported"]) == (
        "insufficient_permissions",
        "authz.denied",
    )
    assert guard.metric("fraiseql_auth_failures_total", failure_reason="insufficient_permissions") == 1


def test_whatever_else_it_reports_is_an_event_of_our_own(bridged) -> None:
    guard, security = bridged
    security.log_rate_limit_exceeded(ip_address="192.0.2.1", endpoint="/graphql", limit=5, window="minute")
    (line,) = guard.lines("guard.host_security_event")
    assert (line["context"]["type"], line["context"]["ip_address"]) == ("rate_limit.exceeded", "192.0.2.1")
    assert line["context"]["resource"] == "/graphql"


def test_what_the_guard_tells_itself_is_not_told_twice(bridged) -> None:
    guard, security = bridged
    security.log_query_timeout(user_id="ada", execution_time=3.0)
    security.log_auth_success(user_id="ada")
    assert guard.lines() == []


def test_handlers_of_the_apps_own_still_get_everything(bridged) -> None:
    _, security = bridged
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append
    logger = logging.getLogger("fraiseql.security")
    logger.addHandler(handler)
    try:
        security.log_query_timeout(user_id="ada", execution_time=3.0)
    finally:
        logger.removeHandler(handler)
    assert len(seen) == 1


def test_nothing_is_written_into_the_working_directory(bridged, tmp_path, monkeypatch) -> None:
    from fraiseql_guard.fraiseql.security import BridgedSecurityLogger

    monkeypatch.chdir(tmp_path)
    BridgedSecurityLogger(lambda: bridged[0].guard.recorder).log_auth_failure(reason="bad")
    assert list(tmp_path.glob("*security*")) == []
