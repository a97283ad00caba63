"""The log's rate limit counts exactly, in bounded memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.identity.networks import parse_address, subject_of
from fraiseql_guard.telemetry.log.rate_limit import LINES_PER_EVENT, LINES_PER_KIND, LINES_PER_SUBJECT, LogRateLimit
from tests.support.properties import examples


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 4)), max_size=300))
def test_every_line_is_written_or_owned_up_to(lines):
    flood = LogRateLimit()
    answers = [flood.admit("event", subject, second) for subject, second in sorted(lines, key=lambda line: line[1])]
    final = [flood.admit("event", subject, 10.0) for subject in "abc"]
    written = [answer for answer in answers if answer is not None]
    assert len(written) + sum(written) + sum(answer or 0 for answer in final) == len(lines)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=300))
def test_no_second_has_more_lines_of_a_subject(lines):
    flood = LogRateLimit()
    written: dict[tuple[str, int], int] = {}
    for subject, second in sorted(lines, key=lambda line: line[1]):
        if flood.admit("event", subject, second) is not None:
            written[subject, second] = written.get((subject, second), 0) + 1
    assert all(count <= LINES_PER_SUBJECT for count in written.values())


def test_memory_does_not_grow_with_the_subjects():
    flood = LogRateLimit()
    for n in range(20_000):
        flood.admit("event", f"subject-{n}", 1.0)
    assert flood.remembered <= 4 * LINES_PER_EVENT + 1000
    assert flood.admit("event", "somebody", 2.0) == 20_000 - LINES_PER_EVENT - 1000


def caller(text):
    """The caller behind an address, or a user."""
    address = parse_address(text)
    return subject_of(address) if address else Subject("user", text)


def lines_of(flood, callers, second=1.0):
    """How many lines each caller gets, who all ask again and again within one second."""
    written = dict.fromkeys(callers, 0)
    for _ in range(50):
        for one in written:
            written[one] += flood.admit("event", caller(one), second) is not None
    return written


def test_the_addresses_of_a_64_are_one_caller():
    written = lines_of(LogRateLimit(), [f"2001:db8:1:2::{n:x}" for n in range(1, 200)])
    assert sum(written.values()) == LINES_PER_SUBJECT


def test_a_56_and_a_48_have_what_their_rate_limits_have_for_them():
    of_56 = lines_of(LogRateLimit(), [f"2001:db8:1:{n:x}::1" for n in range(256)])
    assert sum(of_56.values()) == 4 * LINES_PER_SUBJECT
    of_48 = lines_of(LogRateLimit(), [f"2001:db8:1:{n:x}00::1" for n in range(256)])
    assert sum(of_48.values()) == 16 * LINES_PER_SUBJECT


addresses = st.one_of(
    st.integers(0, 600).map(lambda n: f"10.0.{n // 256}.{n % 256}"),
    st.integers(0, 600).map(lambda n: f"2001:db8:{n // 40:x}:{n % 40:x}::{n:x}"),
)


@examples(30)
@given(st.lists(addresses, min_size=100, max_size=300), st.booleans())
def test_a_flood_of_addresses_leaves_lines_for_users_and_the_other_way_round(flooding, of_users):
    flood = LogRateLimit()
    flooding = [f"user-{each}" for each in flooding] if of_users else flooding
    quiet = "192.0.2.1" if of_users else "alice"
    written = lines_of(flood, flooding)
    assert sum(written.values()) <= LINES_PER_KIND
    assert lines_of(flood, [quiet])[quiet] == LINES_PER_SUBJECT


@settings(deadline=None)
@given(st.lists(st.tuples(st.one_of(addresses, st.sampled_from(["alice", "bob"])), st.floats(0, 3)), max_size=200))
def test_every_line_of_a_caller_is_written_or_owned_up_to(lines):
    flood = LogRateLimit()
    lines = sorted(lines, key=lambda line: line[1])
    answers = [flood.admit("event", caller(one), second) for one, second in lines]
    callers = {caller(one).key: caller(one) for one, _ in lines}
    # Each in a second of its own, so that there is room for all of them.
    final = [flood.admit("event", one, 10.0 + second) for second, one in enumerate(callers.values())]
    written = [answer for answer in answers if answer is not None]
    assert len(written) + sum(written) + sum(answer or 0 for answer in final) == len(lines)
