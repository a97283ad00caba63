"""The memory control groups that a process is in, from its own up to the root (Linux: cgroups(7), versions 1 and 2).

Files that are missing, unreadable or odd are as good as not there: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
_UNLIMITED: Final = 2**60
"""Version 1 has no word for it: the largest number of whole pages stands there."""


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One control group. ``used_bytes`` is its working set: without the file cache that the kernel takes back at once
    (inactive_file), as the kubelet counts. ``limit_bytes`` None: it has none."""

    used_bytes: int
    limit_bytes: int | None
    swap_bytes: int


@dataclass(frozen=True, slots=True)
class _Version:
    """Where one version of the interface keeps what.

    Beyond memory.high the kernel does not kill, but slows every allocation down: for a server that is the end as well,
    so that the lower of the two counts.
    """

    mount: str
    usage: str
    limits: tuple[str, ...]
    inactive: str


_V1: Final = _Version(
    "sys/fs/cgroup/memory", "memory.usage_in_bytes", ("memory.limit_in_bytes",), "total_inactive_file"
)
_V2: Final = _Version("sys/fs/cgroup", "memory.current", ("memory.max", "memory.high"), "inactive_file")


def levels(root: Path = ROOT) -> list[ControlGroup]:
    """The process's own control group, and those above it that have a limit."""
    found = _membership(root)
    if found is None:
        return []
    version, path = found
    mount = root / version.mount
    # In a container the mount may show only a part of the path: what is not there is passed over on the way up.
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    known: list[ControlGroup] = []
    for length in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:length])
        limit = _limit(folder, version)
        # The root of version 1 counts the whole machine, unless it is a container's own and has a limit.
        own = not known and (version is _V2 or folder != mount)
        if (own or limit is not None) and (level := _read(folder, version, limit)) is not None:
            known.append(level)
    return known


def _membership(root: Path) -> tuple[_Version, str] | None:
    """Which interface counts this process's memory, and under which path."""
    unified = None
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            return _V1, path
        if hierarchy == "0" and not controllers:
            unified = _V2, path
    return unified


def _limit(folder: Path, version: _Version) -> int | None:
    given = [number(text(folder / name)) or _UNLIMITED for name in version.limits]
    return min((limit for limit in given if limit < _UNLIMITED), default=None)


def _read(folder: Path, version: _Version, limit: int | None) -> ControlGroup | None:
    usage = number(text(folder / version.usage))
    if usage is None:
        return None
    stat = pairs(text(folder / "memory.stat"), " ")
    swap = stat["total_swap"] if "total_swap" in stat else number(text(folder / "memory.swap.current")) or 0
    return ControlGroup(max(0, usage - stat.get(version.inactive, 0)), limit, swap)


def text(path: Path) -> str | None:
    """A small file's text; None if it cannot be read."""
    try:
        return path.read_bytes().decode("latin-1")
    except OSError:
        return None


def number(value: str | None) -> int | None:
    """A count of bytes; None for ``max`` and everything else that is none."""
    digits = (value or "").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def pairs(value: str | None, separator: str) -> dict[str, int]:
    """The lines ``name 123`` or ``Name:   123 kB`` of a file; others are passed over."""

    def read() -> Iterator[tuple[str, int]]:
        for line in (value or "").splitlines():
            name, _, rest = line.partition(separator)
            if (count := number(next(iter(rest.split()), None))) is not None:
                yield name.strip(), count

    return dict(read())
