"""Garbage is collected on demand, and what was found is told."""

import gc
import json
import subprocess
import sys

from fraiseql_guard.telemetry.process.garbage import collect_garbage, freeze_startup_objects


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
    later = Node()  # made by a request
    later.itself = later
    of_request = weakref.ref(later)
    guard.collect_garbage()  # while that is at work
    del known, later
    gc.collect()
    kept, freed = node() is not None, of_request() is None
    messages.put_nowait({"type": "lifespan.shutdown"})
    await task
    print(json.dumps({"before": before, "frozen": frozen, "kept": kept, "freed": freed}))

asyncio.run(main())
"""


def started(**options: object) -> dict:
    """What a process of its own tells of its garbage: freezing is for a whole process."""
    done = subprocess.run([sys.executable, "-c", STARTED, json.dumps(options)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_what_exists_after_the_start_is_left_out_of_collections_and_nothing_that_comes_later() -> None:
    """Not even what is at work while an operator has garbage collected."""
    told = started()
    assert told["before"] == 0
    assert told["frozen"] > 10_000
    assert told["kept"]
    assert told["freed"]


def test_nothing_is_frozen_where_that_is_switched_off() -> None:
    assert started(gc_freeze=False) == {"before": 0, "frozen": 0, "kept": False, "freed": True}


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
