"""What a worker tells of its live connections: true numbers, and no more of them than a heartbeat holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts, LiveOperation
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.operations.fleet.heartbeat import MAX_PAYLOAD_BYTES, HeartbeatTask
from fraiseql_guard.operations.fleet.live_report import LiveReport
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.operations.operator.records import read_heartbeat
from fraiseql_guard.operations.operator.shared_values import Live
from fraiseql_guard.stores import MemoryStore
from fraiseql_guard.telemetry.process import ProcessMonitor
from fraiseql_guard.testing import ManualClock
from tests.operations.fleet.test_heartbeat import FACTS, Heard


@dataclass
class Counted:
    """What a process has counted."""

    open: dict[str, int] = field(default_factory=dict)
    opened_in_all: int = 0
    closed_in_all: dict[str, int] = field(default_factory=dict)


def context() -> RequestContext:
    address = Subject("address", "203.0.113.7")
    ctx = RequestContext("GET", "/", b"", (), None, True, "id", lambda *_: "", "/", address.name, address)
    ctx.identify(Identity("ada", Subject("user", "ada"), {}, "current", expires_at=2_000_000_000.0))
    return ctx


@dataclass
class Told:
    """A connection that tells what it was given; it counts how often it was asked."""

    told: LiveFacts
    asked: int = 0
    ctx: RequestContext = field(default_factory=context)

    def facts(self) -> LiveFacts:
        self.asked += 1
        return self.told


def connection(number: int, *, operations: int = 0, waiting_bytes: int = 0, text: str = "") -> Told:
    opened = [LiveOperation(name=f"Op{each}{text}", query_hash="ab" * 32, events=each) for each in range(operations)]
    return Told(
        LiveFacts(
            id=f"{number:032x}",
            protocol="graphql_transport_ws",
            user_id=f"user-{number}{text}",
            ip_address="2001:db8:1111:2222:3333:4444:5555:6666",
            age_seconds=number,
            operations=opened,
            waiting_bytes=waiting_bytes,
        )
    )


def test_the_largest_come_first_and_one_has_no_more_than_a_few_operations_named() -> None:
    held = [connection(number, operations=number % 9, waiting_bytes=number) for number in range(50)]
    found = LiveReport(held, Counted()).largest()
    assert len(found) == 20
    weights = [(each.operations_open or len(each.operations), each.waiting_bytes) for each in found]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == (8, 44)
    assert (len(found[0].operations), found[0].operations_open) == (5, 8)
    assert found[0].token_ends_at == 2_000_000_000.0


def test_those_who_have_the_most_are_told() -> None:
    held = [connection(number % 7 if number < 30 else 3) for number in range(40)]
    report = LiveReport(held, Counted())
    report.largest()
    holders = report.numbers().holders
    assert [(each.user_id, each.open) for each in holders][:2] == [("user-3", 14), ("user-0", 5)]
    assert len(holders) == 5


def test_many_connections_are_not_looked_at_with_every_heartbeat() -> None:
    clock = ManualClock(0.0)
    held = [connection(number) for number in range(500)]
    report = LiveReport(held, Counted(), clock=clock)
    for _ in range(20):
        report.largest()
        clock.advance(1)
    assert {each.asked for each in held} == {4}


def test_numbers_are_of_the_last_minute_and_of_the_last_five() -> None:
    clock, counted = ManualClock(0.0), Counted()
    report = LiveReport([], counted, clock=clock)
    assert report.numbers().opened_last_minute == 0
    counted.opened_in_all, counted.open, counted.closed_in_all = 7, {"other": 2, "graphql_ws": 0}, {"client": 5}

    def after(seconds: int) -> Live:
        for _ in range(seconds):
            clock.advance(1)
            now = report.numbers()
        return now

    now = after(30)
    assert (now.opened_last_minute, now.open, now.closed) == (7, {"other": 2}, {"client": 5})
    after(44)
    counted.closed_in_all = {"client": 5, "blocked": 1}
    now = after(1)
    assert (now.opened_last_minute, now.closed) == (0, {"client": 5, "blocked": 1})
    assert after(280).closed == {"blocked": 1}
    assert after(30).closed == {}


@pytest.mark.parametrize("text", ["", "é" * 200], ids=["ordinary", "long"])
async def test_a_heartbeat_stays_small_whatever_is_open(text: str) -> None:
    held = [connection(number, operations=30, text=text) for number in range(3_000)]
    settings, heard, store = Settings.load({}), Heard([]), MemoryStore()
    mine = HeartbeatTask(
        store,
        traffic=TrafficStats(),
        journal=RefusalJournal(),
        settings=lambda: settings,
        facts=lambda: FACTS,
        host=ProcessMonitor.of(settings),
        observer=heard,
        live=LiveReport(held, Counted(open={"other": 3_000})),
    )
    await mine.tick()
    (beat,) = await store.fleet.beats()
    assert heard.faults == []
    assert len(beat.payload) <= MAX_PAYLOAD_BYTES
    found = read_heartbeat(beat.payload)
    assert found is not None
    assert found.worker.live is not None
    assert found.worker.live.open == {"other": 3_000}
    if not text:
        assert len(found.connections) >= 3
