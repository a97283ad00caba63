"""Garbage collection: keeps startup objects out of it, and collects on demand (runbook: high memory usage)."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path

from fraiseql_guard.telemetry.process.cgroup import ROOT
from fraiseql_guard.telemetry.process.memory import resident_bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """What a garbage collection found. ``freed_bytes`` is by how much the resident memory fell; None if not known.

    Python keeps most of the memory that it frees, so that 0 is an ordinary result.
    """

    objects: int
    uncollectable: int
    duration_seconds: float
    freed_bytes: int | None


def freeze_startup_objects() -> None:
    """Leave the objects that exist now (modules, the schema, the app) out of all later garbage collections.

    A full collection visits every object of the process, more often the more requests come: an app with 600,000 objects
    stands still for 70 ms each time. Does nothing if objects are frozen already, by another guard or by the app.
    """
    if not gc.get_freeze_count():
        gc.collect()  # garbage that is frozen would never be freed
        gc.freeze()


def collect_garbage(root: Path = ROOT) -> Collected:
    """Collect the garbage of all generations at once.

    Frozen objects are left out here as well. They would have to be thawed and frozen again, and then with them all that
    happens to be alive in the incident: none of it would be freed later by itself.

    The whole process stands still meanwhile, in whichever thread this runs: the collector holds the interpreter's lock.
    """
    before, began_at = resident_bytes(root), time.perf_counter()
    objects = gc.collect()
    seconds = time.perf_counter() - began_at
    after = resident_bytes(root)
    # Other threads may allocate meanwhile, so that memory may even have grown.
    freed = None if before is None or after is None else max(0, before - after)
    return Collected(objects, len(gc.garbage), seconds, freed)
