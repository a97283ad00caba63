"""Blocked addresses have ten tokens verified in a second, and no more."""

from __future__ import annotations

import pytest

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import BLOCKED
from fraiseql_guard.stores.blocked import BlockedAddresses
from fraiseql_guard.testing import ManualClock

CALLER, OTHER = Subject("address", "192.0.2.1"), Subject("address", "192.0.2.2")
BLOCK = Denial(BLOCKED, detail="dos")


def test_ten_tokens_are_verified_at_once_and_one_more_each_tenth_of_a_second() -> None:
    clock = ManualClock()
    blocked = BlockedAddresses(clock=clock)
    assert blocked.refusal(CALLER) is None
    blocked.note(CALLER, BLOCK)
    assert [blocked.refusal(CALLER) for _ in range(12)] == [None] * 10 + [BLOCK] * 2
    assert blocked.refusal(OTHER) is None
    clock.advance(0.09)
    assert blocked.refusal(CALLER) is BLOCK
    clock.advance(0.02)
    assert [blocked.refusal(CALLER) for _ in range(2)] == [None, BLOCK]
    blocked.note(CALLER, BLOCK)  # noted again it keeps what was used up
    assert blocked.refusal(CALLER) is BLOCK
    clock.advance(0.55)
    assert [blocked.refusal(CALLER) for _ in range(7)] == [None] * 5 + [BLOCK] * 2


def test_never_more_than_ten_are_saved_up() -> None:
    clock = ManualClock()
    blocked = BlockedAddresses(clock=clock)
    blocked.note(CALLER, BLOCK)
    for _ in range(5):
        clock.advance(0.9)
        blocked.note(CALLER, BLOCK)
    assert [blocked.refusal(CALLER) for _ in range(11)] == [None] * 10 + [BLOCK]


def test_a_block_is_remembered_for_a_second_after_it_was_told_last_and_refuses_as_told_last() -> None:
    clock = ManualClock()
    blocked = BlockedAddresses(clock=clock)
    assert not blocked.holds(CALLER)
    blocked.note(CALLER, BLOCK)
    clock.advance(0.75)
    assert blocked.holds(CALLER)
    clock.advance(0.25)
    assert not blocked.holds(CALLER)
    assert blocked.refusal(CALLER) is None
    later = Denial(BLOCKED, detail="operator")
    blocked.note(CALLER, BLOCK)
    for _ in range(10):
        blocked.refusal(CALLER)
    blocked.note(CALLER, later)
    assert (blocked.holds(CALLER), blocked.holds(OTHER)) == (True, False)
    assert blocked.refusal(CALLER) is later
    clock.advance(1)
    assert blocked.refusal(CALLER) is None  # whatever was used up


@pytest.mark.parametrize("size", [1, 3])
def test_as_many_addresses_are_remembered_as_there_is_room_for(size) -> None:
    blocked = BlockedAddresses(clock=ManualClock(), size=size)
    for number in range(5):
        blocked.note(Subject("address", f"192.0.2.{number}"), BLOCK)
    assert len(blocked) == size
    held = [blocked.holds(Subject("address", f"192.0.2.{number}")) for number in range(5)]
    assert held == [False] * (5 - size) + [True] * size
