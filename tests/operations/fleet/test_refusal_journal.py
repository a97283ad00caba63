"""The refusals that wait to be written: enough to explain any of them, and bounded in a flood."""

from __future__ import annotations

import re

from fraiseql_guard.core import signals
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import CHANGEABLE, name_of
from fraiseql_guard.core.signals import CODES, FailureReason
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.operator.records import read_refusal
from fraiseql_guard.telemetry.recorder.remedies import remedy
from fraiseql_guard.testing import ManualClock
from tests.operations.fleet.test_traffic import seen

LIMITED = Denial(signals.RATE_LIMITED, limit=100, actual=101, retry_after_seconds=2.5)


def test_a_refusal_is_written_with_its_numbers_and_what_helps():
    journal = RefusalJournal(clock=ManualClock(1_000_000.5))
    journal.note(seen(user="alice"), LIMITED, enforced=False)
    (record,) = journal.take("host-1")
    refusal = read_refusal(record)
    assert (refusal.code, refusal.status, refusal.limit, refusal.actual) == ("RATE_LIMITED", 429, 100, 101)
    assert (refusal.at, refusal.user_id, refusal.worker, refusal.enforced) == (1_000_000.5, "alice", "host-1", False)
    assert refusal.remedy == remedy(signals.RATE_LIMITED)
    assert journal.take("host-1") == []


def test_three_of_a_subject_in_a_minute():
    clock = ManualClock(60)
    journal = RefusalJournal(clock=clock)
    for _ in range(10):
        journal.note(seen(), LIMITED, enforced=True)
    journal.note(seen("192.0.2.1"), LIMITED, enforced=True)
    assert len(journal.take("host-1")) == 4
    clock.advance(60)
    journal.note(seen(), LIMITED, enforced=True)
    assert len(journal.take("host-1")) == 1


def test_a_flood_from_many_addresses_is_bounded_and_leaves_room_for_users():
    journal = RefusalJournal(clock=ManualClock(60))
    for number in range(1_000):
        journal.note(seen(f"address {number}"), LIMITED, enforced=True)
    journal.note(seen(user="alice"), LIMITED, enforced=True)
    records = [read_refusal(record) for record in journal.take("host-1")]
    assert len(records) == 21
    assert records[-1].user_id == "alice"


def test_text_that_cannot_be_written_takes_no_other_with_it():
    journal = RefusalJournal(clock=ManualClock(60))
    journal.note(seen("\ud800"), LIMITED, enforced=True)
    journal.note(seen(), Denial(signals.UNAUTHENTICATED, reason=FailureReason.INVALID_TOKEN), enforced=True)
    (record,) = journal.take("host-1")
    assert read_refusal(record).detail == "invalid_token"


def test_every_code_has_a_remedy_of_one_sentence():
    for code in CODES:
        sentence = remedy(code)
        assert sentence.endswith("."), code
        assert "\n" not in sentence


def test_a_remedy_sets_only_what_an_operator_can_set():
    changeable = {name_of(option) for option in CHANGEABLE}
    named = {name for code in CODES for name in re.findall(r"fraiseql-guard set (\w+)", remedy(code))}
    assert named
    assert named <= changeable
