"""CPU time of another process, by Linux: user and system, all threads, in nanoseconds where the kernel tells."""

from __future__ import annotations

import os
import time
from pathlib import Path

_CPUCLOCK_SCHED = 2


def cpu_seconds(pid: int) -> float:
    """What the process has used so far."""
    try:
        # The id of a process's CPU clock, as clock_getcpuclockid(3) makes it: /proc counts in ticks of 10 ms, and
        # they would be a tenth of what is measured here.
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
