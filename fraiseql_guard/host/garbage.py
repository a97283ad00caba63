"""A full garbage collection on demand (runbook: high memory usage)."""

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


def collect_garbage(root: Path = ROOT) -> Collected:
    """Collect all generations, here and now.

    The whole process stands still meanwhile, whichever thread does it: the collector holds the interpreter's lock.
    """
    before, began_at = resident_bytes(root), time.perf_counter()
    objects = gc.collect()
    seconds = time.perf_counter() - began_at
    after = resident_bytes(root)
    freed = None if before is None or after is None else max(0, before - after)
    return Collected(objects, len(gc.garbage), seconds, freed)
