"""Garbage is collected on demand, and what was found is told."""

import gc
import json
import subprocess
import sys

from fraiseql_guard.host.garbage import collect_garbage, freeze_startup_objects


def test_cycles_are_found_and_counted(guarded) -> None:
    guard = guarded().guard
    gc.collect()
    for _ in range(100):
        cycle: list = []
        cycle.append(cycle)
    del cycle
    found = guard.collect_garbage()
    assert found.objects >= 100
    assert found.duration_seconds > 0
    assert found.freed_bytes is not None
    assert found.freed_bytes >= 0


def test_where_the_system_does_not_tell_the_freed_bytes_are_unknown(tmp_path) -> None:
    assert collect_garbage(tmp_path).freed_bytes is None


STARTED = """
import asyncio, gc, json, sys, weakref
from starlette.applications import Starlette
from fraiseql_guard import Guard

class Node:
    pass

async def main():
    guard = Guard(Starlette(), auth_required=False, **json.loads(sys.argv[1]))
    before, messages = gc.get_freeze_count(), asyncio.Queue()
    known = Node()  # an object of the start, which becomes garbage later
    known.itself = known
    node, told = weakref.ref(known), asyncio.Event()

    async def send(message):
        told.set()

    messages.put_nowait({"type": "lifespan.startup"})
    task = asyncio.create_task(guard({"type": "lifespan", "asgi": {"version": "3.0"}}, messages.get, send))
    await told.wait()
    frozen = gc.get_freeze_count()
    del known
    gc.collect()
    kept = node() is not None
    guard.collect_garbage()
    found, again = node() is None, gc.get_freeze_count()
    messages.put_nowait({"type": "lifespan.shutdown"})
    await task
    print(json.dumps({"before": before, "frozen": frozen, "kept": kept, "found": found, "again": again}))

asyncio.run(main())
"""


def started(**options: object) -> dict:
    """What a process of its own tells of its garbage: freezing is for a whole process."""
    done = subprocess.run([sys.executable, "-c", STARTED, json.dumps(options)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_what_exists_after_the_start_is_left_out_of_collections_but_not_of_one_on_demand() -> None:
    told = started()
    assert told["before"] == 0
    assert told["frozen"] > 10_000
    assert told["kept"]
    assert told["found"]
    assert told["again"] > 10_000


def test_nothing_is_frozen_where_that_is_switched_off() -> None:
    assert started(gc_freeze=False) == {"before": 0, "frozen": 0, "kept": False, "found": True, "again": 0}


def test_what_an_app_has_frozen_itself_stays_as_it_is() -> None:
    """The freeze of the app is the one in force: a second would keep what has become garbage since."""
    kept = gc.get_freeze_count()
    gc.unfreeze()
    try:
        gc.freeze()
        frozen = gc.get_freeze_count()
        young = [[] for _ in range(5_000)]
        freeze_startup_objects()
        assert gc.get_freeze_count() < frozen + len(young)
    finally:
        if not kept:
            gc.unfreeze()
