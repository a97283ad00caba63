"""Serve an example on loopback: print where, end cleanly on a signal or with the process that asked for it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import uvicorn

from fraiseql_guard.core.variables import SettingsError

HOST = "127.0.0.1"
LISTENING = "listening on "
"""Begins the line that says where, once the server is ready."""
DATABASE = "database at "
"""Begins the line that says where the database is, if the example has one."""
PARENT_POLL_SECONDS = 0.5
GRACE_SECONDS = 2
"""How long a stopping server waits for its requests; the examples have queries that last far longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """How to serve."""

    port: int = 0
    bare: bool = False
    loop: str = "auto"
    end_with: int | None = None


def parse_arguments(program: str, arguments: Sequence[str] | None = None) -> Arguments:
    """Read the command line of an example's ``serve``."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--bare", action="store_true", help="without the guard")
    parser.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="auto")
    parser.add_argument("--end-with", type=int, metavar="PID", help="end when this parent process has ended")
    return Arguments(**vars(parser.parse_args(arguments)))


def exit_on_signals() -> None:
    """Make SIGTERM and SIGINT end the process through its ``finally`` blocks.

    Uvicorn raises the signal that stopped it once more with the handlers that were there before.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)


def serve(package: str, arguments: Arguments) -> None:
    """Serve ``app`` (or ``bare_app``) of an example until a signal comes."""
    target = f"{package}.bare:bare_app" if arguments.bare else f"{package}.app:app"
    config = uvicorn.Config(
        target,
        lifespan="on",
        loop=arguments.loop,
        log_level="warning",
        proxy_headers=False,  # else uvicorn believes X-Forwarded-For of loopback before the guard sees the peer
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # asyncio switches Nagle's delay off only where the socket names its protocol: without it an answer may wait 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, arguments.port))
        listener.listen(1024)
        if arguments.end_with is not None:
            _end_with(arguments.end_with)
        try:
            config.load()
        except SettingsError as problem:
            sys.exit(str(problem))
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it listens once the application has started."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            _say_where(sockets[0])


def _say_where(listener: socket.socket) -> None:
    host, port = listener.getsockname()
    print(f"{LISTENING}http://{host}:{port}", flush=True)


def _end_with(parent: int) -> None:
    """Send ourselves SIGTERM when the parent has ended, however it ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
