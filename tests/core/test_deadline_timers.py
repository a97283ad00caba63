"""Deadline timers ring as an event loop's own timers would: each once, at its time, unless it was called off."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.deadline_timers import DeadlineTimers
from tests.support.moments import Moment
from tests.support.turns import Turns

plans = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0, 1), st.none() | st.floats(0, 1.5)), min_size=1, max_size=40
)  # when it is set, after how long it rings, after how long it is called off


@given(plans)
def test_each_rings_once_at_its_time_unless_it_was_called_off(plan):
    turns = Turns()
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    rung: list[tuple[int, float]] = []
    moments = sorted(
        [(begins, 0, number) for number, (begins, _, _) in enumerate(plan)]
        + [(begins + off, 1, number) for number, (begins, _, off) in enumerate(plan) if off is not None]
    )
    handles = {}
    for moment, calls_off, number in moments:
        turns.until(moment)
        if calls_off:
            handles[number].cancel()
        else:
            due = turns.now + plan[number][1]
            handles[number] = timers.call_at(due, lambda n=number: rung.append((n, turns.now)))
            assert handles[number].when() == due
    turns.until(10)
    at = dict(rung)
    assert len(at) == len(rung)
    for number, (begins, after, off) in enumerate(plan):
        if off is None or off > after + 0.000_01:
            assert abs(at[number] - (begins + after)) <= 0.000_01
        elif off < after - 0.000_01:
            assert number not in at


def test_thousands_that_are_called_off_need_few_timers_and_no_room():
    turns = Turns()
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    for number in range(50_000):
        turns.until(number / 10_000)
        timers.call_at(turns.now + 30, lambda: None).cancel()
    assert len(timers) <= 256
    turns.until(100)
    assert turns.made <= 3
    assert len(timers) == 0


def test_one_that_rings_may_set_the_next():
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]

    def again() -> None:
        rung.append(turns.now)
        if len(rung) < 3:
            timers.call_at(turns.now + 1, again)

    timers.call_at(1, again)
    timers.call_at(2.5, lambda: rung.append("other"))
    turns.until(10)
    assert rung == [1, 2, "other", 3]


def test_one_that_breaks_keeps_no_other_from_ringing():
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    timers.call_at(1, lambda: 1 / 0)
    timers.call_at(1, lambda: rung.append(1))
    turns.until(2)
    assert rung == [1]
    assert isinstance(turns.failures[0]["exception"], ZeroDivisionError)


def test_what_was_called_off_is_let_go():
    class Work:
        def ring(self) -> None:
            raise AssertionError

    timers, work = DeadlineTimers(Turns()), Work()  # type: ignore[arg-type]
    timers.call_at(5, work.ring).cancel()
    gone = weakref.ref(work)
    del work
    gc.collect()
    assert gone() is None


async def test_on_a_real_loop():
    rung = asyncio.Event()
    loop = asyncio.get_running_loop()
    DeadlineTimers(loop).call_at(loop.time() + 0.01, rung.set)
    await asyncio.wait_for(rung.wait(), 5)


@pytest.mark.parametrize("held", [1_000, 30_000])
def test_ringing_costs_what_is_due_however_many_are_held(held):
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    for number in range(held):
        timers.call_at(Moment(1_000 + number % 97), lambda: None)
    for number in range(20):
        timers.call_at(Moment(1 + number), lambda: rung.append(turns.now))
    Moment.looked_at = 0
    turns.until(30)
    assert rung == [1 + number for number in range(20)]
    assert Moment.looked_at <= 20 * 6 * held.bit_length()


def test_those_of_one_moment_ring_in_the_order_in_which_they_were_set():
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    for number in range(50):
        timers.call_at(1 + number % 2, lambda n=number: rung.append(n))
    turns.until(3)
    assert rung == [*range(0, 50, 2), *range(1, 50, 2)]


def test_one_that_is_called_off_by_another_of_the_same_moment_does_not_ring():
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    timers.call_at(1, lambda: second.cancel())
    second = timers.call_at(1, lambda: rung.append("second"))
    turns.until(3)
    assert rung == []


def test_what_is_watched_expires_unless_it_is_done():
    turns, expired = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    waiting, answered = (timers.call_at(9, lambda: None) for _ in range(2))
    for number, each in enumerate((waiting, answered)):
        timers.watch(lambda *told: expired.append(told), 1, each, number)
    answered.cancel()
    turns.until(5, late=0.25)
    assert expired == [(waiting, 0.25, 0)]


def test_cleared_timers_do_not_ring_and_later_ones_do():
    turns, rung = Turns(), []
    timers = DeadlineTimers(turns)  # type: ignore[arg-type]
    timers.call_at(1, lambda: rung.append("cleared"))
    timers.clear()
    assert len(timers) == 0
    timers.call_at(2, lambda: rung.append("later"))
    turns.until(5)
    assert rung == ["later"]
