"""Status says of workers that count for themselves what an operator has to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraiseql_guard.operations.operator.records import Heartbeat, write_heartbeat
from tests.operations.operator.conftest import WORKER

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


async def notes(operator, store, *workers) -> list[str]:
    for number, (host, alone) in enumerate(workers):
        worker = replace(WORKER, id=f"{host}-{number}", host=host, pid=number, counts_alone=alone)
        await store.fleet.beat(worker.id, write_heartbeat(Heartbeat(worker=worker)), 60)
    return [note for note in (await operator.status()).notes if VARIABLE in note]


async def test_workers_of_one_host_that_count_for_themselves(make_operator, store) -> None:
    (note,) = await notes(make_operator(), store, ("a", True), ("a", True), ("a", False), ("b", True))
    assert note.startswith("2 workers on a count for themselves")
    assert f"Set {VARIABLE} to an empty directory" in note


async def test_many_hosts_are_one_sentence(make_operator, store) -> None:
    (note,) = await notes(make_operator(), store, *[(f"h{number // 2:02}", True) for number in range(60)])
    assert note.startswith("2 workers on h00 count for themselves, and likewise on 29 more hosts")


@pytest.mark.parametrize("workers", [[("a", True), ("b", True)], [("a", False), ("a", False)], []])
async def test_one_on_each_host_or_files_that_meet_are_in_order(make_operator, store, workers) -> None:
    assert await notes(make_operator(), store, *workers) == []


async def test_without_a_shared_store_the_settings_tell_of_the_others(make_operator, store, monkeypatch) -> None:
    (note,) = await notes(make_operator(workers=4), store, ("a", True))
    assert note.startswith("FRAISEQL_GUARD_WORKERS=4 and PROMETHEUS_MULTIPROC_DIR is not set")
    monkeypatch.setenv(VARIABLE, "/run/metrics")
    assert await notes(make_operator(workers=4), store, ("a", False)) == []
