"""Five minutes of what a process has seen: exact where it is small, bounded where it is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core import signals
from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.operations.fleet import traffic as p
from fraiseql_guard.testing import ManualClock
from tests.support.properties import examples


def seen(
    address: str = "203.0.113.7", *, user: str = "", denial: Denial | None = None, status: int = 200
) -> RequestContext:
    ctx = RequestContext(
        method="POST", path="/graphql", query_string=b"", header_lines=(), headers={}, guarded=True, request_id="r",
        trace_id=lambda *_: "t", endpoint="/graphql", address=address, address_subject=Subject("address", address),
    )  # fmt: skip
    ctx.identify(Identity(user, Subject("user", f"[{user}]"), {}, "old") if user else None)
    ctx.denial, ctx.status = denial, denial.status if denial else status
    return ctx


LIMITED = Denial(signals.RATE_LIMITED)


def test_series_are_counted_in_steps_and_move_on():
    clock = ManualClock(0)
    traffic = p.TrafficStats(clock=clock)
    for _ in range(3):
        traffic.note(seen(), 0.5)
    traffic.note(seen(denial=LIMITED), 0.0)
    traffic.note(seen(status=500), 1.0)
    assert traffic.series()[p.REQUESTS] == [0.0] * p.STEPS  # the step is not complete
    clock.advance(5)
    series = traffic.series()
    assert {name: values[-1] for name, values in series.items() if values[-1]} == {
        p.REQUESTS: 5, p.QUERIES: 5, p.REFUSALS: 1, "refusals:rate_limit": 1, p.ERRORS: 1, p.SECONDS: 2.5,
    }  # fmt: skip
    clock.advance(10)
    traffic.note(seen(), 0.5)
    assert traffic.series()[p.REQUESTS][-3:] == [5, 0, 0]
    clock.advance(5)
    assert traffic.series()[p.REQUESTS][-4:] == [5, 0, 0, 1]
    clock.advance(100_000)
    assert sum(traffic.series()[p.REQUESTS]) == 0


@examples(50)
@given(st.lists(st.floats(0, 40), min_size=1, max_size=60))
def test_every_request_of_the_last_five_minutes_is_in_exactly_one_step(pauses):
    clock, times = ManualClock(0), []
    traffic = p.TrafficStats(clock=clock)
    for pause in pauses:
        clock.advance(pause)
        times.append(clock())
        traffic.note(seen(), 0)
    clock.advance(5)
    end = clock() // 5 * 5
    assert sum(traffic.series()[p.REQUESTS]) == sum(end - 300 <= at < end for at in times)
    assert all(len(values) == p.STEPS for values in traffic.series().values())


def test_callers_are_counted_for_five_minutes():
    clock = ManualClock(0)
    traffic = p.TrafficStats(clock=clock)
    for _ in range(3):
        traffic.note(seen(denial=LIMITED), 0)
    traffic.note(seen(user="alice"), 0)
    clock.advance(200)
    traffic.note(seen(), 0)
    found = {caller.shown: caller for caller in traffic.callers(5)}
    address, alice = found["203.0.113.7"], found["alice"]
    assert (address.requests, address.refusals, address.by_code) == (4, 3, {"RATE_LIMITED": 3})
    assert (alice.kind, alice.name, alice.requests, alice.refusals) == ("user", "[alice]", 1, 0)
    assert traffic.keys == {"old": 1}
    clock.advance(150)
    traffic.note(seen("192.0.2.1"), 0)
    found = {caller.shown: caller for caller in traffic.callers(5)}
    assert (found["203.0.113.7"].requests, "alice" in found) == (1, False)


def test_a_flood_of_addresses_does_not_hide_a_frequent_caller():
    clock = ManualClock(0)
    traffic = p.TrafficStats(clock=clock)
    for number in range(30_000):
        traffic.note(seen(f"address {number}", denial=LIMITED), 0)
        if number % 100 == 0:
            traffic.note(seen("203.0.113.7", denial=LIMITED), 0)
            traffic.note(seen(user="alice"), 0)
        if number % 3_000 == 0:
            clock.advance(10)
    assert traffic.callers(1)[0].shown == "203.0.113.7"
    assert len(traffic.callers(100_000)) <= 2_000
    assert traffic.callers(1)[0].refusals > 250


def test_of_the_last_requests_it_is_known_whom_a_block_would_have_met():
    traffic = p.TrafficStats(clock=ManualClock(0))
    for number in range(1_500):
        traffic.note(seen("192.0.2.1" if number % 2 else "192.0.2.2", user="alice" if number % 10 == 0 else ""), 0)
    assert len(list(traffic.last_requests())) == 1_000
    found = traffic.seen(10)
    assert (found.requests, found.addresses, found.users) == (
        1_000,
        {"192.0.2.2": 500, "192.0.2.1": 500},
        {"[alice]": 100},
    )
