"""One caller who changes addresses for free is one caller in what an operator sees, and hides no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from fraiseql_guard.telemetry.log.rate_limit import LINES_PER_KIND, LINES_PER_SUBJECT
from fraiseql_guard.testing import make_token
from tests.support.asgi import graphql

DEEP = "{a" * 30 + "}" * 30


def rotating(number: int) -> tuple[str, int]:
    return f"2001:db8:1:2:{number:x}:{number * 7 % 65536:x}::{number:x}", 40000


def most(lines: Sequence[Mapping[str, Any]]) -> int:
    """Lines that one caller may have for one event, over as many seconds as these took."""
    moments = [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]
    return LINES_PER_SUBJECT * (int(max(moments)) - int(min(moments)) + 2)  # one may be written a second later


@pytest.fixture
def guard(guarded):
    return guarded(rate_limit_default="5/day", rate_limit_burst=0, rate_limit_abuse_offences=1000)


async def test_a_rotating_64_is_one_label_value_and_one_caller_in_the_log(guard):
    for number in range(300):
        await graphql(guard, "{a}", client=rotating(number))
    assert guard.metric("fraiseql_rate_limit_exceeded_total", ip_address="2001:db8:1:2::/64") == 295
    assert guard.metric("fraiseql_rate_limit_exceeded_total") == 295
    assert guard.metric("fraiseql_guard_label_overflow_total") == 0
    lines = [line for line in guard.lines() if not line["event"].startswith("guard.")]
    assert {line["event"] for line in lines} == {"security.rate_limit", "http.request"}
    assert max(Counter(line["event"] for line in lines).values()) <= most(lines)
    assert all(line["context"]["ip_address"].startswith("2001:db8:1:2:") for line in lines), "exact in the log"
    written = len(guard.lines("security.rate_limit"))
    suppressed = guard.metric("fraiseql_guard_log_lines_suppressed_total", event="security.rate_limit")
    assert written + suppressed == 295


async def test_a_flood_of_a_64_hides_neither_line_nor_label_of_another_caller(guard):
    for number in range(600):
        await graphql(guard, "{a}", client=rotating(number))
    for _ in range(7):
        await graphql(guard, "{a}", client=("192.0.2.77", 40000))
    assert guard.metric("fraiseql_rate_limit_exceeded_total", ip_address="192.0.2.77") == 2
    shown = [line for line in guard.lines("security.rate_limit") if line["context"]["ip_address"] == "192.0.2.77"]
    assert len(shown) == 2


async def test_failed_authentications_of_a_64_are_one_series(guarded, secret):
    guard = guarded(jwt_secret=secret, brute_force_offences=1000, rate_limit_default="1000/second")
    for number in range(40):
        await graphql(guard, "{a}", client=rotating(number), token="a.b.c")
    assert guard.metric("fraiseql_auth_failures_total", ip_address="2001:db8:1:2::/64", user_id="anonymous") == 40
    lines = guard.lines("security.auth_failure")
    assert len(lines) <= most(lines)


async def test_many_addresses_leave_lines_for_users(guarded, secret):
    guard = guarded(jwt_secret=secret, auth_required=False, max_query_depth=5)
    for number in range(LINES_PER_KIND + 100):
        await graphql(guard, DEEP, client=(f"10.1.{number // 250}.{number % 250}", 40000))
    for _ in range(3):
        await graphql(guard, DEEP, client=("192.0.2.1", 40000), token=make_token(secret, sub="alice"))
    lines = guard.lines("graphql.expensive_query")
    assert sum(line["context"]["user_id"] == "alice" for line in lines) == 3
