"""Finds out how the server was started, by command lines and by the processes around this one: with how many workers,
and with which bound on the messages of WebSockets."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GUNICORN_ARGUMENTS: Final = "GUNICORN_CMD_ARGS"
UVICORN_MESSAGE_OPTION: Final = "--ws-max-size"
"""uvicorn's option for the largest message that it takes from a WebSocket, in bytes."""
UVICORN_MESSAGE_BYTES: Final = 16_777_216
"""That size without the option."""
_UVICORN_VARIABLE: Final = "UVICORN_WS_MAX_SIZE"
_UVICORN_SOCKETS: Final = re.compile(r"uvicorn\.protocols\.websockets\.\w+_impl")
"""uvicorn's modules that speak WebSocket. The one in use is loaded before the app is."""
_SERVERS: Final = ("gunicorn", "uvicorn", "hypercorn", "granian", "fastapi")
_SPAWNED: Final = "--multiprocessing-fork"
"""An argument of every process that Python's multiprocessing has started anew."""


@dataclass(frozen=True, slots=True)
class StartedWorkers:
    """``how`` says where the number stands, such as ``uvicorn --workers 4``."""

    count: int
    how: str


def started_workers(
    environ: Mapping[str, str] | None = None,
    *,
    proc: Path = Path("/proc"),
    pid: int | None = None,
    modules: Collection[str] | None = None,
) -> StartedWorkers | None:
    """What is known of the server's workers; None where it has one, or nothing tells. Workers that start later than
    this one are not seen, unless the command line names their number."""
    own = os.getpid() if pid is None else pid
    parent = _parent(proc, own)
    # The command line of this process comes first: it may be the server's own.
    lines = [_command_line(proc, each) for each in (own, parent) if each]
    server = _server_among(sys.modules if modules is None else modules)
    around = os.environ if environ is None else environ
    # Without a number on a command line: a variable, or the processes that are there.
    found = next(filter(None, map(_by_arguments, lines)), None)
    found = found or _without_arguments(proc, parent, lines, server, around)
    return found if found is not None and found.count > 1 else None


def takes_largest_messages(
    environ: Mapping[str, str] | None = None,
    *,
    proc: Path = Path("/proc"),
    pid: int | None = None,
    modules: Collection[str] | None = None,
) -> bool:
    """Whether uvicorn certainly serves WebSockets with its own bound on messages, :data:`UVICORN_MESSAGE_BYTES`: it was
    started by its command, which names no other. False wherever that cannot be known."""
    loaded = list(sys.modules) if modules is None else modules
    if _UVICORN_VARIABLE in (os.environ if environ is None else environ):
        return False
    if not any(map(_UVICORN_SOCKETS.fullmatch, loaded)):
        return False
    own = os.getpid() if pid is None else pid
    line = _command_line(proc, own)
    if _SPAWNED in line:  # a worker, or the server of --reload
        line = _command_line(proc, _parent(proc, own))
    options = _options_of_uvicorn(line)
    return options is not None and not any(each.partition("=")[0] == UVICORN_MESSAGE_OPTION for each in options)


def _options_of_uvicorn(line: Sequence[str]) -> Sequence[str] | None:
    """What stands behind uvicorn's own command; None where a line begins with another one."""
    for place, argument in enumerate(line):
        if Path(argument).name == "uvicorn":
            return line[place + 1 :]
        interpreter = place == 0 and Path(argument).name.startswith("python")
        if not interpreter and not argument.startswith("-"):
            return None
    return None


def _server_among(modules: Collection[str]) -> str | None:
    """The server that has loaded this process, by the modules that are imported."""
    return next((name for name in _SERVERS if name in modules), None)


def _without_arguments(
    proc: Path, parent: int, lines: Sequence[Sequence[str]], server: str | None, environ: Mapping[str, str]
) -> StartedWorkers | None:
    """Where no command line names the number: by gunicorn's variable, else by the processes beside this one."""
    if server is None:
        return None
    found = _by_variable(environ.get(GUNICORN_ARGUMENTS, "")) if server == "gunicorn" else None
    if found is None and lines:
        found = _by_siblings(proc, parent, lines, server)
    return found


def _by_arguments(line: Sequence[str]) -> StartedWorkers | None:
    for place, argument in enumerate(line):
        server = Path(argument).name
        if server in _SERVERS and (count := _workers_in(line[place + 1 :])) is not None:
            return StartedWorkers(count, f"{server} --workers {count}")
    return None


def _by_variable(arguments: str) -> StartedWorkers | None:
    with suppress(ValueError):
        if (count := _workers_in(shlex.split(arguments))) is not None:
            return StartedWorkers(count, f"{GUNICORN_ARGUMENTS}=--workers={count}")
    return None


def _by_siblings(proc: Path, parent: int, lines: Sequence[Sequence[str]], server: str) -> StartedWorkers | None:
    """Children of one parent that were forked from it, and so bear its command line, or a title that tells them as
    workers, or that were spawned as this one was."""
    own, forked = lines[0], all(line == lines[0] for line in lines) or _entitled(lines[0], server)
    alike = 0
    for pid in _pids(proc):
        if _parent(proc, pid) == parent:
            line = _command_line(proc, pid)
            # Forked workers share the command line of their parent; spawned ones have one of multiprocessing's.
            alike += (forked and line == own) or (_SPAWNED in line and _SPAWNED in own)
    return StartedWorkers(alike, f"{alike} processes of {server}")


def _entitled(line: Sequence[str], server: str) -> bool:
    """Whether a server has called its process a worker in the place of the command line, as gunicorn does where the
    package setproctitle is installed: ``gunicorn: worker [shop]``."""
    return bool(line) and line[0].startswith(f"{server}: worker")


def _workers_in(arguments: Sequence[str]) -> int | None:
    count = None
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        # --workers 4, -w 4, --workers=4 and -w4 are all in use; the last one counts, as in the servers.
        if argument in ("--workers", "-w"):
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
        elif name != "--workers":
            value = argument[2:] if argument.startswith("-w") else ""
        if value.isascii() and value.isdigit():
            count = int(value)
    return count


def _pids(proc: Path) -> Iterator[int]:
    with suppress(OSError):
        yield from (int(path.name) for path in proc.iterdir() if path.name.isdigit())


def _parent(proc: Path, pid: int) -> int:
    """0 if it is not known."""
    with suppress(OSError, ValueError, IndexError):
        # A process may be called ") 1 (": fields are counted behind the last parenthesis (proc(5)).
        return int((proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def _command_line(proc: Path, pid: int) -> list[str]:
    with suppress(OSError):
        return (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []
