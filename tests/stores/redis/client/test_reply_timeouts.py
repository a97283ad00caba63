"""Every question is given up at its own deadline, however many share the timer; a busy loop is no slow store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client.reply_timeouts import LATE_SECONDS, ReplyTimeouts
from tests.support.moments import Moment
from tests.support.turns import Turns


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


questions = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.001, 1), st.none() | st.floats(0, 1.5)), min_size=1, max_size=30
)


@given(questions)
def test_each_at_its_own_deadline_and_none_that_was_answered(loop, asked):
    turns, timeouts = Turns(), []
    reply_timeouts = ReplyTimeouts(turns, lambda: timeouts.append(turns.now))  # type: ignore[arg-type]
    asked = sorted(asked, key=lambda question: question[0])
    moments = sorted(
        [(begins, 0, index) for index, (begins, _, _) in enumerate(asked)]
        + [(begins + after, 1, index) for index, (begins, _, after) in enumerate(asked) if after is not None]
    )
    futures: dict[int, asyncio.Future[str]] = {}
    for moment, answers, index in moments:
        turns.until(moment)
        begins, timeout, _ = asked[index]
        if not answers:
            futures[index] = loop.create_future()
            reply_timeouts.watch(begins + timeout, futures[index], timeout)
        elif not futures[index].done():
            futures[index].set_result("answer")
    turns.until(10)
    expected = []
    for index, (begins, timeout, after) in enumerate(asked):
        future = futures[index]
        assert future.done()
        if after is not None and begins + after < begins + timeout:
            assert future.result() == "answer"
        elif after is None or begins + after > begins + timeout:
            error = future.exception()
            assert isinstance(error, StoreError)
            assert error.reason == "timeout"
            assert str(error) == f"timeout: no answer within {timeout * 1000:.0f} ms"
            expected.append(begins + timeout)
        else:
            future.exception()  # answered in the very moment: either
    assert len(timeouts) >= len(expected)
    assert not turns.timers or all(handle.cancelled for _, _, handle, _ in turns.timers)


def test_a_thousand_questions_need_one_timer_a_deadline(loop):
    turns = Turns()
    reply_timeouts = ReplyTimeouts(turns, lambda: None)  # type: ignore[arg-type]
    for index in range(1_000):
        turns.until(index / 100_000)
        future = loop.create_future()
        reply_timeouts.watch(turns.now + 0.025, future, 0.025)
        future.set_result("answer")
    turns.until(1)
    assert turns.made <= 2


def test_a_busy_loop_gives_each_question_once_the_time_that_was_lost(loop):
    turns = Turns()
    reply_timeouts = ReplyTimeouts(turns, lambda: None)  # type: ignore[arg-type]
    answered, silent = loop.create_future(), loop.create_future()
    reply_timeouts.watch(0.025, answered, 0.025)
    reply_timeouts.watch(0.025, silent, 0.025)
    turns.until(0.025 + 2 * LATE_SECONDS, late=2 * LATE_SECONDS)
    assert not answered.done()
    answered.set_result("was there all the time")
    turns.until(1)
    assert isinstance(silent.exception(), StoreError)
    assert answered.result()


def test_a_timeout_may_fail_all_other_questions(loop):
    """As a connection does that is dropped because it was silent for too long."""
    turns = Turns()
    futures = [loop.create_future() for _ in range(4)]

    def drop() -> None:
        for future in futures:
            if not future.done():
                future.set_exception(StoreError("connection", "no answer for 1 s"))

    reply_timeouts = ReplyTimeouts(turns, drop)  # type: ignore[arg-type]
    for future, due in zip(futures, (1, 1, 1, 1.5), strict=True):
        reply_timeouts.watch(due, future, due)
    turns.until(2)
    assert [future.exception().reason for future in futures] == ["timeout", "timeout", "timeout", "connection"]


def test_cleared_questions_never_fail_and_later_ones_do(loop):
    turns = Turns()
    reply_timeouts = ReplyTimeouts(turns, lambda: None)  # type: ignore[arg-type]
    future = loop.create_future()
    reply_timeouts.watch(0.025, future, 0.025)
    reply_timeouts.clear()
    turns.until(1)
    assert not future.done()
    again = loop.create_future()
    reply_timeouts.watch(1.025, again, 0.025)
    turns.until(2)
    assert isinstance(again.exception(), StoreError)


@pytest.mark.parametrize("held", [1_000, 30_000])
def test_a_look_costs_what_is_due_however_many_questions_wait(loop, held):
    turns, timeouts = Turns(), []
    reply_timeouts = ReplyTimeouts(turns, lambda: timeouts.append(turns.now))  # type: ignore[arg-type]
    waiting = [loop.create_future() for _ in range(held)]
    for number, future in enumerate(waiting):
        reply_timeouts.watch(Moment(1_000 + number % 97), future, 1)
    for number in range(20):
        reply_timeouts.watch(Moment(1 + number), loop.create_future(), 1)
    Moment.looked_at = 0
    turns.until(30)
    assert timeouts == [1 + number for number in range(20)]
    assert Moment.looked_at <= 20 * 6 * held.bit_length()
    assert not any(future.done() for future in waiting)
