"""Reads the memory control groups of a process, from its own up to the root (Linux: cgroups(7), versions 1 and 2).

Files that are missing, unreadable or malformed count as missing: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
_UNLIMITED: Final = 2**60
"""From here on a number is no limit: version 1 writes the largest number of whole pages instead of a word."""


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One control group. ``used_bytes`` is its working set, as the kubelet counts it: without the file cache that the
    kernel can take back at once (inactive_file). ``limit_bytes`` is None if the group has no limit."""

    used_bytes: int
    limit_bytes: int | None
    swap_bytes: int


@dataclass(frozen=True, slots=True)
class _Version:
    """The files of one version of the interface.

    Of several limits the lowest counts. Beyond memory.high the kernel does not kill a process, but slows every
    allocation down, which ends a server as well.
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
    """The control group of this process, and the groups above it that have a limit."""
    found = _membership(root)
    if found is None:
        return []
    version, path = found
    mount = root / version.mount
    known: list[ControlGroup] = []
    # From the process's own group up to the root: the kernel enforces each limit on the way.
    for folder in _folders_up(mount, path):
        limit = _limit(folder, version)
        # In version 1 the root counts the whole machine, unless it is a container's own root, which has a limit.
        own = not known and (version is _V2 or folder != mount)
        if (own or limit is not None) and (level := _read(folder, version, limit)) is not None:
            known.append(level)
    return known


def _folders_up(mount: Path, path: str) -> Iterator[Path]:
    """The folders of a control group and of the groups above it, up to the mount. In a container only a part of the
    path may be mounted, so that some of the folders do not exist."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _membership(root: Path) -> tuple[_Version, str] | None:
    """The version of the interface that counts this process's memory, and the path of its control group there; None
    without one."""
    # Version 1 names the controller; version 2 has one line, with the hierarchy 0. A system may have both.
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
    # The kernel's counters are not read at one moment, so that the difference may be below 0.
    return ControlGroup(max(0, usage - stat.get(version.inactive, 0)), limit, swap)


def text(path: Path) -> str | None:
    """The text of a small file; None if it cannot be read."""
    try:
        return path.read_bytes().decode("latin-1")
    except OSError:
        return None


def number(value: str | None) -> int | None:
    """A number of bytes; None for ``max`` and for anything else that is no number."""
    digits = (value or "").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def pairs(value: str | None, separator: str) -> dict[str, int]:
    """The numbers of the lines ``name 123`` or ``Name:   123 kB`` of a file, by name. Other lines are passed over."""

    def read() -> Iterator[tuple[str, int]]:
        for line in (value or "").splitlines():
            name, _, rest = line.partition(separator)
            if (count := number(next(iter(rest.split()), None))) is not None:
                yield name.strip(), count

    return dict(read())
