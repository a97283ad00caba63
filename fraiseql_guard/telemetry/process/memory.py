"""Measures memory: how much is used, and the limit, which is the container's or else the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fraiseql_guard.telemetry.process.cgroup import ROOT, ControlGroup, levels, number, pairs, text

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """One measurement. ``limit_bytes`` is more than 0."""

    used_bytes: int
    limit_bytes: int
    swap_used_bytes: int = 0

    @property
    def ratio(self) -> float:
        """The used part of the limit: 1 is full."""
        return self.used_bytes / self.limit_bytes

    @property
    def percent(self) -> float:
        """The used part of the limit, in percent."""
        return 100 * self.ratio


def read_memory(root: Path = ROOT) -> Memory | None:
    """The memory that counts for this process; None where the system does not tell (no /proc). Never raises.

    Of all control groups with a limit below the machine's memory, the group nearest to its limit counts: there the
    kernel kills first. Without such a group the limit is the machine's memory; ``used_bytes`` is then the memory of
    this process's control group (all workers of a service or container), else the resident memory of this process
    alone."""
    machine = _machine_bytes(root)
    groups = levels(root)
    bounded = list(_bounded(groups, machine))
    if bounded:
        return max(bounded, key=lambda memory: memory.ratio)
    if machine is None:
        return None
    # The machine is the limit.
    if groups:
        return Memory(groups[0].used_bytes, machine, groups[0].swap_bytes)
    resident = resident_bytes(root)
    return None if resident is None else Memory(resident, machine, _swapped_bytes(root))


def _bounded(groups: Iterable[ControlGroup], machine: int | None) -> Iterator[Memory]:
    """Measurements of the groups with a limit. A limit above the machine's memory does not count: the machine is full
    before."""
    for group in groups:
        limit = group.limit_bytes
        if limit is not None and (machine is None or limit < machine):
            yield Memory(group.used_bytes, limit, group.swap_bytes)


def resident_bytes(root: Path = ROOT) -> int | None:
    """The resident memory of this process; None where the system does not tell."""
    # The second field of statm is the resident set, in pages (proc(5)).
    fields = (text(root / "proc/self/statm") or "").split()
    pages = number(fields[1]) if len(fields) > 1 else None
    return None if pages is None else pages * os.sysconf("SC_PAGE_SIZE")


def _machine_bytes(root: Path) -> int | None:
    return pairs(text(root / "proc/meminfo"), ":").get("MemTotal", 0) * _KIB or None


def _swapped_bytes(root: Path) -> int:
    return pairs(text(root / "proc/self/status"), ":").get("VmSwap", 0) * _KIB
