"""Ports for servers that have to be told theirs before they start, and of which others must not take any meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO

# Below those that systems give to clients and to programs that ask for any port, and so is the bus of a cluster's node,
# 10,000 above.
_FIRST, _END = 11_000, 22_000
_BUS = 10_000

_SHARED = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
"""Wherever a test process has its own temporary files: all agree on the same locks."""

_held: list[IO[str]] = []


def free_port() -> int:
    """A loopback port that only this process is given, as long as it lives; nor is the one 10,000 above it taken.

    Test processes agree by locks on files. A server that ends may be started again on the same port.
    """
    folder = _SHARED / f"fraiseql-guard-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    start = os.getpid() * 97 % (_END - _FIRST)
    for step in range(_END - _FIRST):
        port = _FIRST + (start + step) % (_END - _FIRST)
        if _is_free(port) and _is_free(port + _BUS) and _hold(folder / str(port)):
            return port
    raise RuntimeError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _hold(path: Path) -> bool:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _held.append(file)
    return True
