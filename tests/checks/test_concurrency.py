"""Operations at work at once: how many each bound lets in, exactly, and what the first one above it is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fraiseql_guard.checks.concurrency import Concurrency, PoolRefusals
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CONCURRENCY_LIMIT, OVERLOADED
from fraiseql_guard.testing import ManualClock
from tests.support.contexts import measured, request_of


def bound(*, pool_size=lambda: None, express: bool = False, refusals: PoolRefusals | None = None, **settings):
    options = {"max_in_flight": 1000, **settings}
    return Concurrency(Settings.load({}, **options), pool_size=pool_size, express=express, refusals=refusals)


def fill(bounds: Concurrency, most: int, **facts: Any) -> tuple[int, Denial | None]:
    """How many of so many different users are let in, and the first refusal."""
    return _fill(bounds, [request_of(user=f"u{number}", **facts) for number in range(most)])


def strangers(bounds: Concurrency, most: int) -> tuple[int, Denial | None]:
    """The same with as many addresses."""
    return _fill(bounds, [request_of(f"198.51.100.{number}") for number in range(most)])


def _fill(bounds: Concurrency, requests: list[RequestContext]) -> tuple[int, Denial | None]:
    for number, ctx in enumerate(requests):
        if (denial := bounds.decide(ctx)) is not None:
            return number, denial
    return len(requests), None


# --- one caller ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "most"),
    [({}, 3), ({"user": "alice"}, 3), ({"shared_peer": True}, 60), ({"shared_peer": True, "user": "alice"}, 3)],
)
def test_one_caller_has_exactly_so_many_at_work_and_all_who_look_alike_twenty_times_as_many(caller, most) -> None:
    bounds = bound(max_in_flight=3)
    running = [request_of(**caller) for _ in range(most)]
    assert [bounds.decide(each) for each in running] == [None] * most
    assert [each.in_flight for each in running] == list(range(1, most + 1))
    refused = request_of(**caller)
    denial = bounds.decide(refused)
    assert denial == Denial(CONCURRENCY_LIMIT, limit=most, actual=most + 1, retry_after_seconds=1.0, tokens=1)
    assert (refused.concurrency_slots, bounds.has_room(request_of(**caller)), bounds.at_work) == ((), False, most)
    bounds.release(running[0])
    assert (bounds.has_room(request_of(**caller)), bounds.at_work) == (True, most - 1)


def test_a_second_release_gives_back_nothing() -> None:
    bounds = bound(max_in_flight=2)
    first, second = request_of(), request_of()
    bounds.decide(first)
    bounds.decide(second)
    bounds.release(first)
    bounds.release(first)
    assert bounds.at_work == 1
    bounds.release(second)
    assert bounds.at_work == 0
    assert bounds.decide(request_of()) is None


# --- the database pool -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "users", "anonymous"), [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 2, 2), (5, 3, 2), (10, 8, 5), (100, 98, 50)]
)
def test_two_connections_stay_free_and_half_are_for_verified_users(pool, users, anonymous) -> None:
    bounds = bound(database_pool_size=pool)
    let_in, denial = fill(bounds, 200)
    assert (let_in, denial) == (
        users,
        Denial(OVERLOADED, limit=users, actual=users + 1, retry_after_seconds=1, tokens=0),
    )
    let_in, denial = strangers(bound(database_pool_size=pool), 200)
    assert let_in == anonymous
    assert denial == Denial(OVERLOADED, limit=anonymous, actual=anonymous + 1, retry_after_seconds=1, tokens=0)


def test_the_pool_of_the_settings_counts_before_the_pool_itself_and_without_either_none_does() -> None:
    assert fill(bound(database_pool_size=4, pool_size=lambda: 10), 20)[0] == 2
    assert fill(bound(pool_size=lambda: 10), 20)[0] == 8
    assert fill(bound(), 50)[0] == 50
    sizes = [None, 4]
    opened_later = bound(pool_size=lambda: sizes[0])
    assert fill(opened_later, 5)[0] == 5
    sizes.pop(0)
    assert opened_later.has_room(request_of(user="late")) is False


def test_an_anonymous_caller_that_ends_makes_room_for_another() -> None:
    bounds = bound(database_pool_size=4)
    first, second = request_of("198.51.100.1"), request_of("198.51.100.2")
    assert (bounds.decide(first), bounds.decide(second)) == (None, None)
    assert not bounds.has_room(request_of("198.51.100.3"))
    bounds.release(first)
    assert bounds.has_room(request_of("198.51.100.3"))


# --- the last slots --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pool", "usual"), [(8, 4), (10, 6), (20, 16)])
def test_the_last_two_slots_are_for_a_second_and_for_queries_of_callers_with_nothing_else_at_work(pool, usual) -> None:
    bounds = bound(database_pool_size=pool, express=True)
    for number in range(usual):
        ctx = request_of(user=f"u{number}", measured=measured())
        assert (bounds.decide(ctx), ctx.express_seconds) == (None, None)
    full = Denial(OVERLOADED, limit=pool - 2, actual=usual + 1, retry_after_seconds=1.0, tokens=0)
    for no_query in (None, measured("mutation"), measured("subscription"), measured(unmeasured=1)):
        assert bounds.decide(request_of(user="new", measured=no_query)) == full
    assert bounds.decide(request_of(user="u0", measured=measured())) == full
    for number in range(2):
        ctx = request_of(user=f"late{number}", measured=measured())
        assert (bounds.decide(ctx), ctx.express_seconds) == (None, 1.0)
    assert bounds.decide(request_of(user="last", measured=measured())) == Denial(
        OVERLOADED, limit=pool - 2, actual=pool - 1, retry_after_seconds=1.0, tokens=0
    )


@pytest.mark.parametrize(("pool", "express"), [(7, True), (8, False)])
def test_a_smaller_pool_sets_none_apart_and_neither_does_one_without_them(pool, express) -> None:
    bounds = bound(database_pool_size=pool, express=express)
    for number in range(pool - 2):
        ctx = request_of(user=f"u{number}", measured=measured("mutation"))
        assert (bounds.decide(ctx), ctx.express_seconds) == (None, None)
    assert bounds.decide(request_of(user="new", measured=measured())) is not None


def test_none_are_set_apart_unless_it_is_asked_for() -> None:
    bounds = Concurrency(Settings.load({}, database_pool_size=10, max_in_flight=1000))
    assert fill(bounds, 20, measured=measured("mutation"))[0] == 8


# --- subscriptions that begin ----------------------------------------------------------------------------------------


def subscription(user: str):
    return request_of(user=user, measured=measured("subscription"))


@pytest.mark.parametrize(("pool", "half"), [(3, 1), (4, 2), (9, 4), (10, 5)])
def test_subscriptions_that_begin_take_half_of_the_pool_and_leave_the_rest(pool, half) -> None:
    bounds = bound(database_pool_size=pool)
    beginning = [subscription(f"u{number}") for number in range(half)]
    assert [bounds.decide(each) for each in beginning] == [None] * half
    query = request_of(user="query", measured=measured())
    left = pool - 2 - half
    assert bounds.has_room(query) is (left > 0)
    late = subscription("late")
    most = half if left > 0 else max(1, pool - 2)
    assert bounds.decide(late) == Denial(OVERLOADED, limit=most, actual=half + 1, retry_after_seconds=1.0, tokens=0)
    assert bounds.has_room_soon(late)
    bounds.release(beginning[0])
    assert bounds.decide(late) is None
    for each in (*beginning, late):
        bounds.release(each)
    assert not bounds.at_work


def test_room_comes_soon_only_where_something_begins_that_stands_in_the_way() -> None:
    bounds = bound(database_pool_size=4)
    first, second = request_of(user="a"), request_of(user="b")
    bounds.decide(first)
    assert bounds.has_room_soon(request_of(user="c"))  # there is room now
    bounds.decide(second)
    assert not bounds.has_room_soon(request_of(user="c"))
    # One caller's own: that others begin is no help.
    own = bound(max_in_flight=1)
    own.decide(subscription("a"))
    own.decide(request_of(user="b", measured=measured()))
    assert own.has_room_soon(request_of(user="a"))
    assert not own.has_room_soon(request_of(user="b"))


# --- what is told ----------------------------------------------------------------------------------------------------


def test_refusals_for_want_of_connections_count_for_a_minute_and_others_do_not() -> None:
    clock = ManualClock(1_000.0)
    refusals = PoolRefusals(clock=clock)
    bounds = bound(database_pool_size=3, max_in_flight=1, refusals=refusals)
    bounds.decide(request_of(user="a"))
    bounds.decide(request_of(user="a"))  # over its own share
    assert refusals.last_minute() == 0
    for _ in range(3):
        bounds.decide(request_of(user="b"))
    clock.advance(59)
    bounds.decide(request_of(user="b"))
    assert refusals.last_minute() == 4
    clock.advance(0.9)
    assert refusals.last_minute() == 4
    clock.advance(0.2)
    assert refusals.last_minute() == 1
    bounds.decide(request_of(user="b"))
    assert refusals.last_minute() == 2
    clock.advance(59)
    assert refusals.last_minute() == 1
    clock.advance(1)
    assert refusals.last_minute() == 0


def test_each_refusal_counts_for_a_minute_from_its_own_second() -> None:
    clock = ManualClock(0.5)
    refusals = PoolRefusals(clock=clock)
    for _ in range(2):
        refusals.note()
        clock.advance(1)
    clock.advance(58)
    assert refusals.last_minute() == 1
    clock.advance(1)
    assert refusals.last_minute() == 0


def test_a_subscription_that_may_wait_is_no_refusal_yet() -> None:
    refusals = PoolRefusals(clock=ManualClock())
    bounds = bound(database_pool_size=3, refusals=refusals)
    bounds.decide(request_of(user="a"))
    denial = bounds.decide(subscription("b"))
    assert denial is not None
    assert refusals.last_minute() == 0
    bounds.note(denial)  # it has waited in vain
    assert refusals.last_minute() == 1


def test_a_change_of_the_settings_forgets_nothing_that_is_at_work() -> None:
    at_work: Counter[tuple[str, str]] = Counter()
    settings = Settings.load({}, max_in_flight=1)
    before = Concurrency(settings, at_work)
    running = request_of(user="a")
    assert before.decide(running) is None
    after = Concurrency(settings, at_work)
    assert after.at_work == 1
    assert after.decide(request_of(user="a")) is not None
    after.release(running)
    assert not at_work
