"""A machine's /proc and /sys in a temporary folder: memory, and the control groups of a process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


class Machine:
    """Files as the kernel shows them. ``write`` any; the others write the usual ones."""

    def __init__(self, root: Path, *, total: int = 16_000 * MIB, resident: int = 100 * MIB, swapped: int = 0) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal:       {total // 1024} kB\nMemFree:        1024 kB\nHugePages_Total: 0\n")
        self.write("proc/self/statm", f"99999 {resident // PAGE} 10 1 0 50 0\n")
        self.write("proc/self/status", f"Name:\tpython\nVmRSS:\t   1024 kB\nVmSwap:\t  {swapped // 1024} kB\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def member_of(self, path: str, *, version: int) -> None:
        """The process is in this control group."""
        lines = ["0::/"] if version == 1 else [f"0::{path}"]
        if version == 1:
            lines = ["9:name=systemd:/elsewhere", f"4:cpu,memory:{path}", *lines]
        self.write("proc/self/cgroup", "\n".join(lines) + "\n")

    def group_v2(
        self,
        path: str,
        used: int,
        limit: int | None = None,
        *,
        high: int | None = None,
        inactive: int = 0,
        swap: int | None = None,
    ) -> None:
        files: Mapping[str, int | None] = {"current": used, "max": limit, "high": high, "swap.current": swap or 0}
        for name, value in files.items():
            self.write(f"sys/fs/cgroup{path}/memory.{name}", f"{'max' if value is None else value}\n")
        self.write(f"sys/fs/cgroup{path}/memory.stat", f"anon {used}\nfile 5\ninactive_file {inactive}\n")

    def group_v1(self, path: str, used: int, limit: int | None = None, *, inactive: int = 0, swap: int = 0) -> None:
        unlimited = 9_223_372_036_854_771_712
        folder = f"sys/fs/cgroup/memory{path}"
        self.write(f"{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"{folder}/memory.limit_in_bytes", f"{unlimited if limit is None else limit}\n")
        stat = f"cache 5\ninactive_file 1\ntotal_inactive_file {inactive}\ntotal_swap {swap}\n"
        self.write(f"{folder}/memory.stat", stat)
