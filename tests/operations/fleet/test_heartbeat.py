"""A worker's heartbeat: bounded, true after a fork, and silent about secrets."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.watched_file import LOOK_AGAIN_SECONDS
from fraiseql_guard.operations.fleet.heartbeat import MAX_PAYLOAD_BYTES, Fingerprints, HeartbeatTask
from fraiseql_guard.operations.fleet.refusal_journal import RefusalJournal
from fraiseql_guard.operations.fleet.traffic import TrafficStats
from fraiseql_guard.operations.operator.records import read_heartbeat, read_refusal
from fraiseql_guard.stores import MemoryStore, StoreError
from fraiseql_guard.telemetry.process import ProcessMonitor
from fraiseql_guard.testing import ManualClock
from tests.operations.fleet.test_refusal_journal import LIMITED
from tests.operations.fleet.test_traffic import seen

STRONG = "a-strong-secret-of-at-least-thirty-two-bytes"
FACTS = {"modes": {"auth": "off"}, "breaker_open": False, "control_version": 3, "in_flight": 2}


SETTINGS = Settings.load({}, jwt_secret=STRONG)


@dataclass
class Heard:
    """What breaks while a heartbeat is made."""

    faults: list

    def fault(self, part: str, error: BaseException) -> None:
        self.faults.append(part)

    def warn(self, sentence: str) -> None:
        self.faults.append(sentence)


def presence(
    store, traffic: TrafficStats | None = None, journal: RefusalJournal | None = None, faults: list | None = None
) -> HeartbeatTask:
    return HeartbeatTask(
        store,
        traffic=traffic or TrafficStats(),
        journal=journal or RefusalJournal(),
        settings=lambda: SETTINGS,
        facts=lambda: FACTS,
        host=ProcessMonitor.of(SETTINGS),
        observer=Heard([] if faults is None else faults),
    )


async def test_ticks_beat_and_write_in_turn():
    store, journal = MemoryStore(), RefusalJournal()
    mine = presence(store, journal=journal)
    journal.note(seen(), LIMITED, enforced=True)
    await mine.tick()
    (beat,) = await store.fleet.beats()
    worker = read_heartbeat(beat.payload).worker
    assert (beat.worker_id, worker.pid, worker.in_flight, worker.control_version) == (worker.id, os.getpid(), 2, 3)
    assert await store.fleet.recent(10) == []
    await mine.tick()
    assert read_refusal((await store.fleet.recent(10))[0]).worker == worker.id
    await mine.leave()
    assert await store.fleet.beats() == []


async def test_a_process_that_was_forked_is_another_worker(monkeypatch):
    mine = presence(MemoryStore())
    await mine.tick()
    before = mine.worker_id
    monkeypatch.setattr(os, "getpid", lambda: 1)
    await mine.leave()  # this one is not known yet
    await mine.tick()
    assert mine.worker_id != before


async def test_who_never_beat_says_no_good_bye():
    async def beat(*_):
        raise AssertionError

    store = MemoryStore()
    store.fleet.beat = beat
    await presence(store).leave()


async def test_whatever_breaks_stops_nothing():
    errors = []

    async def beat(*_):
        raise errors[-1]

    store, faults = MemoryStore(), []
    store.fleet.beat = beat
    mine = presence(store, faults=faults)
    for error in (StoreError("timeout", "none"), ZeroDivisionError()):
        errors.append(error)
        await mine.tick()
        await mine.tick()
    assert faults == ["presence"]


async def test_a_heartbeat_stays_small_whatever_the_callers():
    store, traffic = MemoryStore(), TrafficStats()
    for number in range(2_000):
        traffic.note(seen(user=f"{number}" + "x" * 250), 0)
    await presence(store, traffic).tick()
    (beat,) = await store.fleet.beats()
    assert len(beat.payload) <= MAX_PAYLOAD_BYTES
    assert read_heartbeat(beat.payload).worker.series


def test_fingerprints_are_equal_where_the_configuration_is():
    digest = Fingerprints()
    base = Settings.load({}, jwt_secret=STRONG)
    same = Settings.load({"FRAISEQL_JWT_SECRET": STRONG})
    assert Fingerprints().of_settings(base) == digest.of_settings(same)  # where a value came from is no difference
    others = [
        Settings.load({}, jwt_secret=STRONG + "x"),
        Settings.load({}, jwt_secret_old=STRONG),
        Settings.load({}, jwt_secret=STRONG, jwt_secret_old=STRONG),
        Settings.load({}, jwt_secret=STRONG, redis_url="redis://:password@127.0.0.1:6379"),
        Settings.load({}, jwt_secret=STRONG, redis_url="redis://:passworD@127.0.0.1:6379"),
        base.override(max_aliases=7),
    ]
    found = [digest.of_settings(each) for each in (base, *others)]
    assert len(set(found)) == len(found)


def test_a_secret_that_is_exchanged_in_its_file_changes_the_fingerprint(tmp_path):
    path = tmp_path / "secret"
    path.write_text(STRONG)
    clock = ManualClock()
    settings = Settings.load({"FRAISEQL_JWT_SECRET_FILE": str(path)}).by(clock)
    digest = Fingerprints()
    before, key = digest.of_settings(settings), digest.of_keys(settings)
    assert digest.of_settings(settings) == before
    path.write_text(STRONG + " and more")
    clock.advance(LOOK_AGAIN_SECONDS)
    assert digest.of_settings(settings) != before
    assert digest.of_keys(settings) != key


def test_what_another_version_wrote_is_read_as_far_as_it_goes():
    assert read_heartbeat(b"nonsense") is None
    assert read_heartbeat(b'{"worker": {"id": "old"}}') is None
    assert read_refusal(b"[]") is None


async def neighbours_said(ids: list[str], *, alone: bool = True, seconds: float = 60.0) -> list[str]:
    """What a worker says whose store holds the beats of others for so long."""
    store, clock, said = MemoryStore(), ManualClock(), []
    mine = HeartbeatTask(
        store,
        traffic=TrafficStats(),
        journal=RefusalJournal(),
        settings=lambda: SETTINGS,
        facts=lambda: FACTS,
        host=ProcessMonitor.of(SETTINGS),
        observer=Heard(said),
        counts_alone=alone,
        clock=clock,
    )
    for _ in range(4):
        for each in ids:
            await store.fleet.beat(each, b"", 1000)
        await mine.tick()
        await mine.tick()
        clock.advance(seconds / 4)
    return said


async def test_another_process_of_this_host_that_counts_for_itself_is_said_once():
    host = socket.gethostname()[:64]
    (sentence,) = await neighbours_said([f"{host}-1-abcdef", f"{host}-2-abcdef"])
    assert "PROMETHEUS_MULTIPROC_DIR" in sentence


async def test_who_is_no_neighbour():
    host = socket.gethostname()[:64]
    assert await neighbours_said([f"{host}x-1-abcdef", "odd", f"{host}-{os.getpid()}-abcdef"]) == []
    assert await neighbours_said([f"{host}-1-abcdef"], alone=False) == []  # their metrics meet
    assert await neighbours_said([f"{host}-1-abcdef"], seconds=4.0) == []  # a predecessor that has just died
