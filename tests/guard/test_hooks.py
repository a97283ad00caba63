"""The app hears of refusals and sanctions, beside the requests and never in their way."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from fraiseql_guard import Guard, RateLimitMiddleware, RefusalNotice, SanctionNotice, SettingsError
from fraiseql_guard.asgi import hook_queue
from fraiseql_guard.testing import make_token
from tests.support.asgi import PUBLIC_ADDRESS, EchoApp, graphql, request
from tests.support.event_loops import event_loops
from tests.support.socket_memory import SocketApp, opened
from tests.support.waiting import until

ONCE = {"rate_limit_default": "1/hour", "rate_limit_burst": 0, "rate_limit_abuse_offences": 1_000_000}
NOTICES = "fraiseql_guard_notices_total"


class Heard:
    """A function of the app's: remembers what it is told, once it may go on."""

    def __init__(self, *, held: bool = False) -> None:
        self.notices: list[Any] = []
        self.begun = 0
        self.go_on = asyncio.Event()
        if not held:
            self.go_on.set()

    async def __call__(self, notice: Any) -> None:
        self.begun += 1
        await self.go_on.wait()
        self.notices.append(notice)

    @property
    def refusals(self) -> int:
        """How many refusals it was told of."""
        return sum(notice.count for notice in self.notices)


async def test_a_refusal_is_told_with_its_caller_and_its_operation(guarded, secret) -> None:
    heard = Heard()
    guard = guarded(on_refusal=heard, jwt_secret=secret, max_query_complexity=1)
    token = make_token(secret, sub="alice")
    reply = await graphql(guard, "query Deep { a { b { c } } }", token=token)
    await until(lambda: heard.notices)
    (notice,) = heard.notices
    assert isinstance(notice, RefusalNotice)
    assert (notice.user_id, notice.ip_address) == ("alice", PUBLIC_ADDRESS)
    assert (notice.method, notice.endpoint, notice.operations) == ("POST", "/graphql", ("Deep",))
    assert notice.query_hash == guard.lines("graphql.expensive_query")[0]["context"]["query_hash"]
    assert (notice.refusal.code, notice.refusal.limit, notice.refusal.actual) == ("QUERY_TOO_COMPLEX", 1, 2)
    assert notice.refusal.request_id == reply.header("x-request-id")
    assert (notice.enforced, notice.count) == (True, 1)
    assert notice.at > 1_700_000_000
    assert guard.metric(NOTICES, hook="on_refusal", outcome="told") == 1


async def test_what_monitor_mode_would_refuse_is_told_too(guarded) -> None:
    heard = Heard()
    guard = guarded(on_refusal=heard, mode="monitor", max_query_depth=1)
    assert (await graphql(guard, "{ a { b } }")).status == 200
    await until(lambda: heard.notices)
    assert [(notice.refusal.code, notice.enforced) for notice in heard.notices] == [("QUERY_TOO_DEEP", False)]


async def test_refusals_over_a_socket_are_told(guarded) -> None:
    heard = Heard()
    guard = guarded(SocketApp(), on_refusal=heard, max_query_depth=1)
    async with opened(guard) as socket:
        await socket.init()
        await socket.ask("{ a { b { c } } }")
    await until(lambda: heard.notices)
    assert heard.notices[0].refusal.code == "QUERY_TOO_DEEP"


async def test_an_ordinary_step_of_persisted_queries_is_no_refusal(guarded) -> None:
    heard = Heard()
    guard = guarded(on_refusal=heard, apq=True)
    body = b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"' + b"a" * 64 + b'"}}}'
    assert (await request(guard, body=body)).json["errors"][0]["message"] == "PersistedQueryNotFound"
    await graphql(guard, "{")
    await until(lambda: heard.notices)
    assert [notice.refusal.code for notice in heard.notices] == ["GRAPHQL_PARSE_FAILED"]


async def test_every_refusal_of_a_flood_is_counted_also_those_from_memory(guarded, clock) -> None:
    heard = Heard(held=True)
    guard = guarded(on_refusal=heard, clock=clock, **ONCE)
    for _ in range(500):
        await request(guard, "GET", "/page")
    guard.flush()
    heard.go_on.set()
    await until(lambda: heard.refusals == 499)
    assert len(heard.notices) <= 3  # one is told at once, and all others take one place
    assert guard.metric("fraiseql_guard_refusals_total", code="RATE_LIMITED") == 499
    assert guard.metric(NOTICES, hook="on_refusal", outcome="told") == 499


async def test_a_function_that_hangs_holds_up_nothing_and_takes_no_more_than_its_room(guarded, monkeypatch) -> None:
    monkeypatch.setattr(hook_queue, "MOST", 20)
    heard = Heard(held=True)
    guard = guarded(on_refusal=heard, max_query_depth=1)
    for number in range(50):
        reply = await graphql(guard, "{ a { b } }", client=(f"203.0.113.{number}", 1))
        assert reply.status == 400
    assert heard.begun == 1
    dropped = guard.metric(NOTICES, hook="on_refusal", outcome="dropped")
    assert dropped == 50 - 20 - 1
    heard.go_on.set()
    await until(lambda: heard.refusals == 21)
    assert len(asyncio.all_tasks()) < 10


async def test_a_function_that_takes_too_long_is_stopped_and_the_next_notice_told(guarded, monkeypatch) -> None:
    monkeypatch.setattr(hook_queue, "CALL_SECONDS", 0.01)
    heard = Heard(held=True)
    guard = guarded(on_refusal=heard, max_query_depth=1)
    for number in range(2):
        await graphql(guard, "{ a { b } }", client=(f"203.0.113.{number}", 1))
    await until(lambda: guard.metric(NOTICES, hook="on_refusal", outcome="timed_out") == 2)
    assert (heard.begun, heard.notices) == (2, [])
    assert guard.metric("fraiseql_guard_faults_total", part="on_refusal") == 2
    assert "took longer than 0.01 s" in guard.lines("guard.fault")[0]["context"]["error"]


@pytest.mark.parametrize(
    "raised", [ValueError("theirs"), asyncio.CancelledError()], ids=lambda each: type(each).__name__
)
async def test_what_a_function_raises_is_a_fault_and_the_next_notice_is_told(guarded, raised) -> None:
    told: list[Any] = []

    async def raises(notice: RefusalNotice) -> None:
        told.append(notice)
        raise raised

    guard = guarded(on_refusal=raises, max_query_depth=1)
    for number in range(3):
        assert (await graphql(guard, "{ a { b } }", client=(f"203.0.113.{number}", 1))).status == 400
    await until(lambda: len(told) == 3)
    await until(lambda: guard.metric(NOTICES, hook="on_refusal", outcome="failed") == 3)
    assert guard.metric("fraiseql_guard_faults_total", part="on_refusal") == 3
    assert guard.lines("guard.fault")[0]["context"]["part"] == "on_refusal"


async def test_a_function_that_answers_nothing_to_wait_for_is_a_fault(guarded) -> None:
    class Plain:
        def __call__(self, notice: RefusalNotice) -> None:
            """No coroutine, which a class does not show."""

    guard = guarded(on_refusal=Plain(), max_query_depth=1)
    await graphql(guard, "{ a { b } }")
    await until(lambda: guard.metric("fraiseql_guard_faults_total", part="on_refusal") == 1)


async def test_a_function_finds_nothing_of_a_request_in_its_context(guarded) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="none")
    found: list[str] = []

    async def look(notice: RefusalNotice) -> None:
        found.append(variable.get())

    guard = guarded(on_refusal=look, max_query_depth=1)
    variable.set("of a request")
    await graphql(guard, "{ a { b } }")
    await until(lambda: found)
    assert found == ["none"]


# --- sanctions --------------------------------------------------------------------------------------------------------


async def test_an_automatic_sanction_is_told_with_the_caller_it_meets(guarded) -> None:
    heard = Heard()
    guard = guarded(on_sanction=heard, dos_offences=2, max_query_complexity=2, dos_block_seconds=60)
    deep = "{ " + " ".join(f"a{number} {{ b {{ c }} }}" for number in range(19)) + " }"
    replies = [await graphql(guard, deep) for _ in range(3)]
    assert replies[-1].code == "BLOCKED"
    await until(lambda: heard.notices)
    (notice,) = heard.notices
    assert isinstance(notice, SanctionNotice)
    assert (notice.policy, notice.ip_address, notice.user_id) == ("dos", PUBLIC_ADDRESS, None)
    assert (notice.seconds, notice.actor, notice.enforced) == (60, "", True)
    assert notice.request_id == replies[1].header("x-request-id")
    assert notice.offences == 2


async def test_a_block_of_an_operator_is_told_by_the_worker_that_carries_it_out(guarded) -> None:
    heard = Heard()
    guard = guarded(on_sanction=heard)
    await guard.guard.block_user("alice", 600, reason="scrapes")
    await guard.guard.block_ip("198.51.100.0/28", 300)
    await until(lambda: len(heard.notices) == 2)
    user, network = heard.notices
    assert (user.policy, user.user_id, user.ip_address, user.reason) == ("operator", "alice", None, "scrapes")
    assert (user.seconds, user.actor, user.request_id) == (600, "app", None)
    assert (network.ip_address, network.user_id) == ("198.51.100.0/28", None)


async def test_a_lockout_is_told_with_its_login(guarded, secret) -> None:
    heard = Heard()
    guard = guarded(on_sanction=heard, lockout_offences=1, jwt_secret=secret)
    scope = {"type": "http", "method": "POST", "path": "/login", "headers": [], "client": (PUBLIC_ADDRESS, 1)}
    await guard.guard.report_login_failure("Ada", scope)
    await until(lambda: heard.notices)
    (notice,) = heard.notices
    assert (notice.policy, notice.identifier, notice.ip_address) == ("account_lockout", "ada", PUBLIC_ADDRESS)


# --- starts and ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["on_refusal", "on_sanction"])
@pytest.mark.parametrize("unusable", [print, lambda notice: None, "text"], ids=["builtin", "lambda", "text"])
def test_a_function_that_would_hold_up_requests_stops_the_start(name, unusable) -> None:
    with pytest.raises(SettingsError, match=f"async def {name}"):
        Guard(EchoApp(), **{name: unusable})


def test_guards_mounted_on_each_other_tell_one_function() -> None:
    one, other = Heard(), Heard()
    assert Guard(RateLimitMiddleware(EchoApp(), on_refusal=one)).mount_options.app_hooks.on_refusal is one
    with pytest.raises(SettingsError, match="two different on_sanction"):
        Guard(RateLimitMiddleware(EchoApp(), on_sanction=one), on_sanction=other)


async def test_the_end_of_the_app_waits_a_moment_for_what_is_still_to_be_told(guarded) -> None:
    heard = Heard(held=True)
    guard = guarded(on_refusal=heard, max_query_depth=1)
    await graphql(guard, "{ a { b } }")
    await graphql(guard, "{", client=("203.0.113.8", 1))
    ending = asyncio.create_task(guard.guard.aclose())
    await until(lambda: heard.begun)
    heard.go_on.set()
    await ending
    assert len(heard.notices) == 2


async def test_the_end_of_the_app_waits_no_longer_than_that(guarded, monkeypatch) -> None:
    monkeypatch.setattr(hook_queue, "DRAIN_SECONDS", 0.01)
    heard = Heard(held=True)
    guard = guarded(on_refusal=heard, max_query_depth=1)
    for number in range(3):
        await graphql(guard, "{ a { b } }", client=(f"203.0.113.{number}", 1))
    await until(lambda: heard.begun)
    await guard.guard.aclose()
    assert guard.metric(NOTICES, hook="on_refusal", outcome="dropped") == 3
    assert heard.notices == []


def test_each_event_loop_tells_what_happens_in_it(guarded) -> None:
    heard: list[Any] = []

    async def hear(notice: RefusalNotice) -> None:
        heard.append(asyncio.get_running_loop())

    guard = guarded(on_refusal=hear, max_query_depth=1)

    async def turn() -> None:
        before = len(heard)
        await graphql(guard, "{ a { b } }")
        await until(lambda: len(heard) > before)

    with event_loops(2) as loops:
        for loop in (*loops, *loops):
            loop.run_until_complete(turn())
        assert heard == [*loops, *loops]


async def test_numbers_that_callers_are_not_told_are_told_to_the_app_alone(guarded) -> None:
    heard, shown = Heard(), []
    guard = guarded(on_refusal=heard, render_refusal=shown.append, expose_limits=False, max_query_depth=1)
    await graphql(guard, "{ a { b } }")
    await until(lambda: heard.notices)
    assert (shown[0].limit, shown[0].actual) == (None, None)
    assert (heard.notices[0].refusal.limit, heard.notices[0].refusal.actual) == (1, 2)
