"""Lockouts of logins: at which failure, for how long, at which address; and what is told of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fraiseql_guard.checks.lockouts import Lockout, Lockouts
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import UNKNOWN, PolicyName
from fraiseql_guard.identity.logins import login_subject
from fraiseql_guard.stores import AdmitRequest, AdmitResult, MemoryStore
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import request_of


class Told:
    """What a recorder is told, in order; ``broken`` as one whose log is full."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.addresses: list[str] = []
        self.lockouts: list[int] = []
        self.faults: list[str] = []
        self.broken = False

    def login(self, ctx: RequestContext, outcome: Any) -> None:
        self._may_break()
        self.logins.append(outcome.value)
        self.addresses.append(ctx.address)

    def imposed(self, ctx: RequestContext, imposed: Any) -> None:
        self._may_break()
        self.addresses.append(ctx.address)
        self.lockouts.append(round(imposed.sanction.expires_in_seconds))

    def fault(self, part: str, error: Exception) -> None:
        self.faults.append(f"{part}: {error}")

    def _may_break(self) -> None:
        if self.broken:
            raise OSError("no space is left")


class Closed(MemoryStore):
    """A store that is not there, with a policy that refuses then."""

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        return AdmitResult(admitted=False, unavailable=True)


class Desk:
    """An app's lockouts, three failures in a minute for two minutes, and what is told of them."""

    def __init__(self, store: MemoryStore | None = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.told = Told()
        self.store = store or MemoryStore(clock=self.clock)
        self.at_work: Counter[str] = Counter()
        options = {"lockout_offences": 3, "lockout_window_seconds": 60, "lockout_seconds": 120, **settings}
        recorder: Any = self.told
        self.lockouts = Lockouts(self.store, recorder, Settings.load({}, **options), self.at_work)

    async def fails(self, times: int, name: str = "alice", **facts: Any) -> list[int | None]:
        """The lockouts that so many failures are answered with, in seconds."""
        found = [await self.lockouts.failed(name, request_of(**facts)) for _ in range(times)]
        return [None if each is None else each.retry_after_seconds for each in found]

    async def locked(self, name: str = "alice", **facts: Any) -> int | None:
        found = await self.lockouts.locked(name, request_of(**facts))
        return None if found is None else found.retry_after_seconds


async def test_the_last_of_the_failures_locks_and_the_time_counts_down() -> None:
    desk = Desk()
    assert await desk.fails(2) == [None, None]
    assert await desk.locked() is None
    assert await desk.fails(1) == [120]
    assert await desk.locked() == 120
    assert await desk.locked(name="bob") is None
    assert await desk.locked(address="198.51.100.9") is None
    desk.clock.advance(0.5)
    assert await desk.locked() == 120  # rounded up: not a moment too soon
    desk.clock.advance(119)
    assert await desk.locked() == 1
    desk.clock.advance(0.5)
    assert await desk.locked() is None
    assert desk.told.lockouts == [120]
    assert desk.told.logins == ["failed"] * 3 + ["locked"] * 3
    assert desk.told.faults == []


async def test_failures_longer_ago_than_the_window_count_no_more() -> None:
    desk = Desk()
    await desk.fails(2)
    desk.clock.advance(60)
    assert await desk.fails(2) == [None, None]
    assert await desk.fails(1) == [120]


async def test_a_failure_during_a_lockout_is_answered_with_it_and_prolongs_nothing() -> None:
    desk = Desk()
    await desk.fails(3)
    desk.clock.advance(20)
    assert await desk.fails(1) == [100]
    assert desk.told.lockouts == [120]


async def test_a_success_forgets_the_failures_of_its_pair_alone() -> None:
    desk = Desk()
    await desk.fails(2)
    await desk.fails(2, name="bob")
    await desk.lockouts.succeeded("alice", request_of())
    assert desk.told.logins[-1] == "succeeded"
    assert desk.told.addresses == [request_of().address] * 5
    assert await desk.fails(2) == [None, None]
    assert await desk.fails(1, name="bob") == [120]


async def test_a_success_forgets_failures_and_lifts_no_other_sanction() -> None:
    desk = Desk()
    subject = login_subject("alice", request_of().address_subject)
    await desk.store.sanctions.impose(Sanction(subject, PolicyName.OPERATOR, 600))
    await desk.lockouts.succeeded("alice", request_of())
    assert [each.policy for each in await desk.store.sanctions.all()] == [PolicyName.OPERATOR]


@pytest.mark.parametrize("spared", [{"shared_peer": True}, {"allow_listed": True}])
async def test_who_is_never_locked_out(spared) -> None:
    desk = Desk()
    assert await desk.fails(9, **spared) == [None] * 9
    ctx = request_of(**spared, attempts=())
    for _ in range(9):
        assert await desk.lockouts.locked("alice", ctx) is None
    assert (desk.told.lockouts, desk.at_work, ctx.attempts) == ([], Counter(), ())


async def test_without_an_address_no_login_is_locked() -> None:
    desk = Desk()
    for _ in range(9):
        ctx = request_of(attempts=())
        ctx.address = UNKNOWN
        assert await desk.lockouts.failed("alice", ctx) is None
        assert await desk.lockouts.locked("alice", ctx) is None
        assert ctx.attempts == ()


async def test_in_monitor_mode_lockouts_are_told_and_no_login_is_locked() -> None:
    desk = Desk(mode_auth="monitor")
    assert await desk.fails(4) == [None] * 4
    assert await desk.locked() is None
    assert desk.told.lockouts == [120]
    ctx = request_of(attempts=())
    assert await desk.lockouts.locked("alice", ctx) is None
    assert (ctx.attempts, desk.at_work) == ((), Counter())


# --- attempts at once ------------------------------------------------------------------------------------------------


def attempt() -> RequestContext:
    return request_of(attempts=())


async def test_no_more_attempts_at_one_login_run_at_once_than_failures_lock_it() -> None:
    desk = Desk()
    running = [attempt() for _ in range(3)]
    assert [await desk.lockouts.locked("alice", each) for each in running] == [None] * 3
    assert await desk.lockouts.locked("alice", running[0]) is None  # one request asks twice about one attempt
    assert await desk.lockouts.locked("alice", attempt()) == Lockout(1)
    assert await desk.lockouts.locked("bob", attempt()) is None
    assert await desk.locked() is None  # where the end of a request is not seen, nothing could end its attempt
    await desk.lockouts.failed("alice", running[0])
    late = attempt()
    assert await desk.lockouts.locked("alice", late) is None
    await desk.lockouts.succeeded("alice", running[1])
    desk.lockouts.release(running[2])
    desk.lockouts.release(running[2])
    desk.lockouts.release(request_of())
    assert sorted(desk.at_work.values()) == [1, 1]  # the late one's, and bob's
    desk.lockouts.release(late)
    assert list(desk.at_work.values()) == [1]


async def test_one_request_may_have_attempts_at_several_logins() -> None:
    desk, ctx = Desk(), attempt()
    for name in ("alice", "bob", "carol"):
        await desk.lockouts.locked(name, ctx)
    assert len(ctx.attempts or ()) == 3
    await desk.lockouts.failed("bob", ctx)
    assert len(ctx.attempts or ()) == 2
    desk.lockouts.release(ctx)
    assert (ctx.attempts, desk.at_work) == ((), Counter())


# --- what fails ------------------------------------------------------------------------------------------------------


async def test_a_store_that_refuses_while_it_is_not_there_locks_every_login_for_a_second() -> None:
    desk = Desk(Closed())
    assert await desk.locked() == 1
    assert await desk.fails(1) == [1]
    watching = Desk(Closed(), mode_auth="monitor")
    assert await watching.locked() is None
    assert await watching.fails(1) == [None]


async def test_what_breaks_is_told_once_and_a_login_that_could_not_be_checked_is_not_tried() -> None:
    for mode, expected in (("enforce", 1), ("monitor", None)):
        desk = Desk(mode_auth=mode)
        desk.store.admit = None  # type: ignore[assignment, method-assign]
        assert await desk.locked() == expected
        assert await desk.fails(1) == [expected]
        assert desk.told.faults == ["lockouts: 'NoneType' object is not callable"] * 2
        assert desk.told.logins == ["failed"]


async def test_a_signal_that_breaks_changes_nothing_about_a_lockout() -> None:
    desk = Desk()
    desk.told.broken = True
    assert await desk.fails(3) == [None, None, 120]
    assert await desk.locked() == 120
    await desk.lockouts.succeeded("alice", request_of())
    assert await desk.locked() is None
    assert set(desk.told.faults) == {"lockouts: no space is left"}
    assert len(desk.told.faults) == 6


async def test_attempts_outlive_a_change_of_the_settings() -> None:
    desk = Desk()
    ctx = attempt()
    await desk.lockouts.locked("alice", ctx)
    recorder: Any = desk.told
    after = Lockouts(desk.store, recorder, Settings.load({}, lockout_offences=1), desk.at_work)
    assert await after.locked("alice", attempt()) == Lockout(1)
    after.release(ctx)
    assert await after.locked("alice", attempt()) is None
