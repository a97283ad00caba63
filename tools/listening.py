"""A server program on a free loopback port, waited for until it says that it is ready, and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

_PORTS = 3
"""How many are tried: between our look at a free one and the program's, another program may take it."""
_END_SECONDS = 20.0


def listening(
    command: Callable[[str], Sequence[str | Path]],
    log: Path,
    *,
    start_seconds: float,
    is_ready: Callable[[str], bool] | None = None,
) -> tuple[subprocess.Popen[bytes], str]:
    """Run the command for an address until ``/-/ready`` answers there (or ``is_ready`` says so); the process, and the
    address.

    Its output is added to ``log``. RuntimeError with its end if the program ends, or is not ready in time.
    """
    for _ in range(_PORTS):
        address = f"127.0.0.1:{_free_port()}"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command(address),
                stdout=output,
                stderr=output,
                env={**os.environ, "GOMAXPROCS": "2"},
                start_new_session=True,  # Ctrl-C in a terminal is for us, who end it then
            )
        try:
            if _becomes_ready(process, address, start_seconds, is_ready or _is_ready):
                return process, address
            slow = process.poll() is None
        except BaseException:
            end(process)
            raise
        end(process)
        if slow:  # it has its port: another one would not help
            break
    raise RuntimeError(f"{command('ADDRESS')[0]} did not start:\n{log.read_text()[-2000:]}")


def _becomes_ready(
    process: subprocess.Popen[bytes], address: str, start_seconds: float, is_ready: Callable[[str], bool]
) -> bool:
    deadline = time.monotonic() + start_seconds
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready(address):
            return True
        time.sleep(0.05)
    return False


def end(process: subprocess.Popen[bytes] | None) -> None:
    """Stop it, and wait until it has."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
