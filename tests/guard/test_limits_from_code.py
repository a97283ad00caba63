"""An app that looks at the limits of its request, takes more of them, and gives back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard import (
    BucketState,
    Charged,
    Guard,
    Limits,
    QueryTimeoutMiddleware,
    RateLimitMiddleware,
    limits,
)
from fraiseql_guard.testing import ManualClock, make_token
from tests.support.asgi import Reply, graphql, request
from tests.support.nesting import Between
from tests.support.properties import examples
from tests.support.redis_server import RedisServer

TEN = {"rate_limit_default": "10/hour", "rate_limit_burst": 0}
Work = Callable[[Limits], Awaitable[Any]]


class WorkingApp:
    """Does something about the limits of each request, and answers with 200. ``after`` is done in the background."""

    def __init__(self, work: Work | None = None, *, after: Work | None = None) -> None:
        self.work, self.after = work, after
        self.found: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.work is not None:
            self.found.append(await self.work(limits(scope)))
        head = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"{}"})
        if self.after is not None:
            self.found.append(await self.after(limits(scope)))


@asynccontextmanager
async def closing(*guards: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for guard in guards:
            await (getattr(guard, "guard", guard)).aclose()


def remaining(reply: Reply) -> int:
    return int(reply.header("x-ratelimit-remaining") or -1)


async def page(app: Any, **more: Any) -> Reply:
    return await request(app, "GET", "/page", **more)


# --- look ------------------------------------------------------------------------------------------------------------


async def test_a_look_shows_every_bucket_and_takes_nothing(guarded, store):
    app = WorkingApp(lambda mine: mine.peek())
    guard = guarded(app, rate_limit_default="2/minute+10/hour", rate_limit_burst=0, **store)
    async with closing(guard):
        for left in (1, 0):
            assert remaining(await page(guard)) == left
        assert (await page(guard)).status == 429
    first, second = app.found
    assert [(each.limit, each.window_seconds, each.remaining, each.short) for each in first] == [
        (2, 60, 1, False),
        (10, 3600, 9, False),
    ]
    assert [(each.remaining, each.short) for each in second] == [(0, True), (8, False)]
    assert 30 < second[0].reset_seconds <= 60
    assert isinstance(first[0], BucketState)


async def test_a_look_at_a_cost_budget_is_in_points(guarded, store):
    app = WorkingApp(lambda mine: mine.peek())
    guard = guarded(app, cost_budgets="default=25", **store)
    async with closing(guard):
        await graphql(guard, "{users(limit:10){id}}")
    budget = app.found[0][-1]
    assert (budget.policy, budget.limit, budget.remaining, budget.short) == ("cost", 25, 15, False)


@pytest.mark.redis
async def test_a_look_leaves_no_key_behind(guarded, server):
    server.flush()
    keys: list[Any] = []

    async def look(mine: Limits) -> Any:
        keys.append(server.ask("KEYS", "looks:*}:b:*"))
        found = await mine.peek()
        keys.append(server.ask("KEYS", "looks:*}:b:*"))
        return found

    guard = guarded(WorkingApp(look), redis_url=server.url, store_timeout_ms=5000, namespace="looks", **TEN)
    async with closing(guard):
        await page(guard)
    assert keys[0] == keys[1]


# --- take ------------------------------------------------------------------------------------------------------------


async def test_a_charge_takes_more_and_the_answer_tells(guarded, store):
    app = WorkingApp(lambda mine: mine.charge(5))
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        assert remaining(await page(guard)) == 4
        second = await page(guard)
        assert second.status == 200  # what the app does about it is its own matter
        assert remaining(second) == 3
    taken, refused = app.found
    assert taken == Charged(admitted=True, retry_after_seconds=0.0, remaining=4)
    assert not refused.admitted
    assert refused.remaining == 3
    assert refused.retry_after_seconds == pytest.approx(2 * 360, abs=20)
    assert guard.metric("fraiseql_guard_refusals_total") == 0


async def test_a_charge_takes_from_all_windows_or_from_none(guarded, store):
    async def work(mine: Limits) -> Any:
        return [await mine.charge(4), await mine.charge(4), await mine.peek()]

    app = WorkingApp(work)
    guard = guarded(app, rate_limit_default="6/minute+100/hour", rate_limit_burst=0, **store)
    async with closing(guard):
        await page(guard)
    first, second, state = app.found[0]
    assert (first.admitted, second.admitted) == (True, False)
    assert [each.remaining for each in state] == [1, 95]


async def test_no_waiting_helps_a_charge_above_the_bucket(guarded, store):
    app = WorkingApp(lambda mine: mine.charge(11))
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        await page(guard)
    assert app.found == [Charged(admitted=False, retry_after_seconds=math.inf, remaining=9)]


async def test_points_are_taken_from_the_cost_budget(guarded, store):
    async def work(mine: Limits) -> Any:
        return [await mine.charge(points=10), await mine.charge(points=10), await mine.charge(0)]

    app = WorkingApp(work)
    guard = guarded(app, cost_budgets="default=25", **TEN, **store)
    async with closing(guard):
        reply = await graphql(guard, "{users(limit:10){id}}")
    first, second, nothing = app.found[0]
    assert (first.admitted, first.remaining) == (True, 5)
    assert (second.admitted, second.remaining) == (False, 5)
    assert nothing == Charged(admitted=True, retry_after_seconds=0.0, remaining=None)
    assert '"default";r=9' in (reply.header("ratelimit") or "")


async def test_a_charge_is_the_users_own(guarded, secret, store):
    app = WorkingApp(lambda mine: mine.charge(5))
    guard = guarded(app, jwt_secret=secret, auth_required=False, tiers="pro=20/hour", **TEN, **store)
    async with closing(guard):
        await page(guard, token=make_token(secret, sub="a", tier="pro"))
        await page(guard)
    assert [each.remaining for each in app.found] == [14, 4]


async def test_networks_of_one_holder_pay_as_well(guarded, store):
    app = WorkingApp(lambda mine: mine.charge(9))
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        for number in range(20):
            await page(guard, client=(f"2001:db8:0:{number:x}::1", 1))
    assert [each.admitted for each in app.found].count(True) < 20


# --- give back -------------------------------------------------------------------------------------------------------


async def test_a_refund_gives_back_what_was_paid_and_no_more(guarded, store):
    async def work(mine: Limits) -> Any:
        await mine.charge(5)
        await mine.refund(2)
        seen = [(await mine.peek())[0].remaining]
        for _ in range(3):
            await mine.refund()
            seen.append((await mine.peek())[0].remaining)
        await mine.refund(10)
        return [*seen, (await mine.peek())[0].remaining]

    app = WorkingApp(work)
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        app.work = None
        await page(guard)
        app.work = work
        assert remaining(await page(guard)) == 9
    assert app.found == [[5, 9, 9, 9, 9]]


async def test_a_refund_of_points_leaves_the_rate_alone(guarded, store):
    async def work(mine: Limits) -> Any:
        await mine.refund(points=4)
        return await mine.peek()

    app = WorkingApp(work)
    guard = guarded(app, cost_budgets="default=25", **TEN, **store)
    async with closing(guard):
        await graphql(guard, "{users(limit:10){id}}")
    assert [each.remaining for each in app.found[0]] == [9, 19]


async def test_in_the_background_after_the_answer(guarded, store):
    app = WorkingApp(after=lambda mine: mine.refund())
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        assert [remaining(await page(guard)) for _ in range(3)] == [9, 9, 9]


async def test_in_a_thread_of_a_synchronous_endpoint(guarded, store):
    def endpoint(mine: Limits) -> Any:
        return anyio.from_thread.run(mine.charge, 5)

    app = WorkingApp(lambda mine: anyio.to_thread.run_sync(endpoint, mine))
    guard = guarded(app, **TEN, **store)
    async with closing(guard):
        assert remaining(await page(guard)) == 4
    assert app.found[0].admitted


async def test_negative_numbers_are_a_mistake(guarded):
    async def work(mine: Limits) -> None:
        for call in (mine.charge(-1), mine.charge(points=-1), mine.refund(-1), mine.refund(points=-1)):
            with pytest.raises(ValueError, match="from 0 on"):
                await call

    assert (await page(guarded(WorkingApp(work)))).status == 200


# --- where nothing is counted, or refused ----------------------------------------------------------------------------


async def whatever(mine: Limits) -> Any:
    await mine.refund()
    return [await mine.peek(), await mine.charge(1000), await mine.charge(points=1000)]


NOTHING = [(), Charged(True, 0.0, None), Charged(True, 0.0, None)]


async def test_without_a_guard_nothing_is_limited():
    app = WorkingApp(whatever)
    await request(app, "GET", "/page")
    assert app.found == [NOTHING]


@pytest.mark.parametrize(
    ("middleware", "options"),
    [(Guard, {"allow_list": "203.0.113.0/24"}), (QueryTimeoutMiddleware, {})],
    ids=["allow-listed", "without rate limits"],
)
async def test_what_is_not_counted_is_never_short(guarded, middleware, options):
    app = WorkingApp(whatever)
    await page(guarded(app, middleware, cost_budgets="default=5", **TEN, **options))
    assert app.found == [NOTHING]


async def test_in_monitor_mode_every_charge_is_admitted_and_what_is_there_is_taken(guarded, store):
    async def work(mine: Limits) -> Any:
        return [await mine.charge(6), await mine.charge(6), await mine.peek()]

    app = WorkingApp(work)
    guard = guarded(app, mode="monitor", **TEN, **store)
    async with closing(guard):
        assert (await page(guard)).status == 200
    first, second, state = app.found[0]
    assert first == Charged(admitted=True, retry_after_seconds=0.0, remaining=3)
    assert second.admitted
    assert second.retry_after_seconds == pytest.approx(3 * 360, abs=20)
    assert state[0].remaining == 3


@pytest.mark.redis
@pytest.mark.parametrize(
    ("policy", "charged"),
    [("local", True), ("open", True), ("closed", False)],
)
async def test_in_an_outage_the_failure_policy_decides_and_nothing_is_raised(guarded, policy, charged):
    with RedisServer() as server:

        async def work(mine: Limits) -> Any:
            before = await mine.peek()
            server.kill()
            taken = await mine.charge(5)
            await mine.refund(5)
            await mine.refund()
            return [before, taken, await mine.peek()]

        app = WorkingApp(work)
        guard = guarded(app, redis_url=server.url, on_store_failure=policy, **TEN)
        async with closing(guard):
            assert (await page(guard)).status == 200
        before, taken, after = app.found[0]
        assert before[0].remaining == 9
        assert taken.admitted is charged
        assert after[0].policy == before[0].policy


@pytest.mark.redis
async def test_what_was_paid_in_an_outage_goes_back_to_this_process(guarded):
    """And not to the store once it answers again, where nothing was paid."""
    app = WorkingApp(lambda mine: mine.refund())
    guard = guarded(app, redis_url="redis://127.0.0.1:1/0", **TEN)
    async with closing(guard):
        assert [remaining(await page(guard)) for _ in range(3)] == [10, 10, 10]


async def test_a_fault_inside_fails_no_request(guarded, monkeypatch):
    async def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    async def work(mine: Limits) -> Any:
        monkeypatch.setattr(guard.store, "adjust", broken)
        monkeypatch.setattr(guard.store, "admit", broken)
        state = await mine.peek()
        await mine.refund()
        return [state[0].remaining, await mine.charge(2)]

    app = WorkingApp(work)
    guard = guarded(app, **TEN)
    assert (await page(guard)).status == 200
    assert app.found == [[9, Charged(admitted=False, retry_after_seconds=1.0, remaining=None)]]
    assert guard.metric("fraiseql_guard_faults_total", part="limits") == 3


# --- guards around guards --------------------------------------------------------------------------------------------


async def test_guards_that_share_a_bucket_take_from_it_once(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, **TEN}
    app = WorkingApp(lambda mine: mine.charge(4))
    inner = Guard(app, **options)
    outer = guarded(Between(inner), **options)
    async with closing(outer, inner):
        assert remaining(await page(outer)) == 5


async def test_each_of_two_guards_takes_from_its_own(guarded):
    async def work(mine: Limits) -> Any:
        return [await mine.charge(3), await mine.charge(3), await mine.peek()]

    app = WorkingApp(work)
    inner = RateLimitMiddleware(app, rate_limit_default="100/hour", rate_limit_burst=0)
    outer = guarded(Between(inner), rate_limit_default="5/hour", rate_limit_burst=0)
    async with closing(outer, inner):
        await page(outer)
    first, second, state = app.found[0]
    assert first == Charged(True, 0.0, 1)
    assert not second.admitted  # and the inner guard has given back what it had taken
    assert [(each.limit, each.remaining) for each in state] == [(100, 96), (5, 1)]


async def test_a_refund_reaches_every_guard_that_was_paid(guarded, server):
    server.flush()
    options = {"redis_url": server.url, "store_timeout_ms": 5000, **TEN}
    app = WorkingApp(lambda mine: mine.refund())
    inner = RateLimitMiddleware(app, rate_limit_default="5/hour", rate_limit_burst=0)
    innermost = Guard(Between(inner), **options)
    outer = guarded(Between(innermost), **options)
    async with closing(outer, innermost, inner):
        replies = [await page(outer) for _ in range(20)]
    assert {reply.status for reply in replies} == {200}


# --- whatever the order ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["charge", "refund", "refund all", "peek"]), st.integers(0, 8)), min_size=1, max_size=12
)


class Payers:
    """Apps that take and give back by turns. ``paid`` is what they have paid together, by their own count."""

    CAPACITY = 20

    def __init__(self, *, together: bool) -> None:
        self.together = together
        self.paid = 0
        self.app = WorkingApp()

    async def send(self, guard: Any, steps: list[tuple[str, int]]) -> None:
        self.app.work = lambda mine: self.work(mine, steps)
        await page(guard)

    async def work(self, mine: Limits, steps: list[tuple[str, int]]) -> None:
        own = 1
        self.paid += 1
        for step, number in steps:
            before = own
            own += await self.step(mine, step, number, own)
            self.paid += own - before
            left = (await mine.peek())[0].remaining
            assert left <= self.CAPACITY
            assert self.together or left == self.CAPACITY - self.paid

    async def step(self, mine: Limits, step: str, number: int, own: int) -> int:
        """What the step has changed of the tokens that the request has paid."""
        if step == "charge":
            return number * (await mine.charge(number)).admitted
        if step == "refund":
            await mine.refund(number)
            return -min(own, number)
        if step == "refund all":
            await mine.refund()
            return -own
        return 0


@examples(60, allow=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(STEPS, min_size=1, max_size=4), together=st.booleans())
def test_no_request_gets_back_more_than_it_paid(requests: list[Any], together: bool):
    """And no bucket ever holds more than its capacity."""

    async def run() -> None:
        payers = Payers(together=together)
        capacity = payers.CAPACITY
        guard = Guard(payers.app, clock=ManualClock(), rate_limit_default=f"{capacity}/hour", rate_limit_burst=0)
        if together:
            await asyncio.gather(*(payers.send(guard, steps) for steps in requests))
        else:
            for steps in requests:
                await payers.send(guard, steps)
        payers.app.work = None
        last = await page(guard)
        assert last.status == 429 or remaining(last) == capacity - payers.paid - 1
        await guard.aclose()

    asyncio.run(run())
