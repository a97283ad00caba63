"""Garbage collection: what it leaves out after the start, and a full one on demand (runbook: high memory usage)."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path

from fraiseql_guard.host.cgroup import ROOT
from fraiseql_guard.host.memory import resident_bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection found. ``freed_bytes`` is by how much the resident memory fell; None where that is unknown.

    Python keeps most of what it frees for itself, so that 0 is an ordinary answer.
    """

    objects: int
    uncollectable: int
    duration_seconds: float
    freed_bytes: int | None


def freeze_startup_objects() -> None:
    """Leave what exists now (modules, the schema, the app) out of all later garbage collections.

    A full collection walks through every object of the process, and the more requests come the more often it does: an
    app of 600,000 objects stands still for 70 ms each time. Does nothing where objects are frozen already, by another
    guard of the process or by the app itself.
    """
    if not gc.get_freeze_count():
        gc.collect()  # what is garbage already would stay for ever
        gc.freeze()


def collect_garbage(root: Path = ROOT) -> Collected:
    """Collect all generations, here and now, and what was frozen as well; it is frozen again afterwards.

    The whole process stands still meanwhile, whichever thread does it: the collector holds the interpreter's lock.
    """
    before, began_at = resident_bytes(root), time.perf_counter()
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    objects = gc.collect()
    if frozen:
        gc.freeze()
    seconds = time.perf_counter() - began_at
    after = resident_bytes(root)
    freed = None if before is None or after is None else max(0, before - after)
    return Collected(objects, len(gc.garbage), seconds, freed)
