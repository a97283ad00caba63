"""Runs one operation with a real client, and tells what the client did and what its app got to see."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.audit.npm import CACHE, NpmError, install

HERE: Final = Path(__file__).resolve().parent
CLIENTS: Final = ("graphql-ws", "apollo", "urql", "subscriptions-transport-ws", "graphql-sse")
PROTOCOLS: Final[Mapping[str, str]] = {
    "graphql-ws": "graphql-transport-ws", "apollo": "graphql-transport-ws", "urql": "graphql-transport-ws",
    "subscriptions-transport-ws": "graphql-ws", "graphql-sse": "sse",
}  # fmt: skip
"""What each client speaks."""
START_SECONDS: Final = 20.0
"""How much longer than its operation a client may take to start and to end."""

Perhaps = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""The same for each connection, or one after the other; the last one is for all that follow."""


@dataclass(frozen=True, slots=True)
class ClientClose:
    """How a socket of a client ended; 1006 without a close frame."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClientError:
    """An error that a client showed its app; ``code`` is that of a close."""

    message: str
    extensions: Mapping[str, Any] | None
    code: int | None

    @property
    def graphql_code(self) -> str | None:
        """extensions.code."""
        return None if self.extensions is None else self.extensions.get("code")


@dataclass(frozen=True, slots=True)
class ClientRun:
    """What a client did: when (in seconds) it connected, how its sockets ended, which HTTP statuses it got instead;
    and what its app saw. ``ended``: "complete", "error" (the last one's, of several operations), or None if it was
    still at it. ``told``: the types of messages over its sockets, results aside."""

    client: str
    connects: tuple[float, ...]
    closes: tuple[ClientClose, ...]
    statuses: tuple[int, ...]
    results: tuple[Any, ...]
    errors: tuple[ClientError, ...]
    ended: str | None
    told: tuple[str, ...] = ()


def run_client(
    client: str, url: str, document: str, *, seconds: float, variables: Mapping[str, Any] | None = None,
    connection_params: Perhaps = None, headers: Perhaps = None, stay: bool = False, times: int = 1,
    enough: int | None = None, retry_seconds: float | None = None, cache: Path = CACHE,
) -> ClientRun:  # fmt: skip
    """Let a client of CLIENTS run ``document`` against ``url``, for at most ``seconds``; so many ``times`` at once.

    It stops soon after the end of all operations, or after ``enough`` results and errors, unless it is to ``stay`` for
    all of the time. ``url`` is the http one of the GraphQL path, whatever the client speaks. ``retry_seconds`` are in
    place of the waits before graphql-ws (and Apollo and urql with it) and graphql-sse try again. Raises NpmError if it
    cannot run.
    """
    folder = install(HERE / "package.json", [HERE / "sockets.mjs", HERE / "fatal.mjs"], "sockets", cache=cache)
    asked = {
        "client": client, "url": url if PROTOCOLS[client] == "sse" else url.replace("http", "ws", 1),
        "document": document, "variables": dict(variables or {}), "connectionParams": connection_params,
        "headers": headers or {}, "seconds": seconds, "stay": stay,
        "times": times, "enough": enough, "retrySeconds": retry_seconds,
    }  # fmt: skip
    told = _node(folder, ["sockets.mjs", json.dumps(asked)], seconds + START_SECONDS)
    return ClientRun(
        client=told["client"], connects=tuple(told["connects"]), statuses=tuple(told["statuses"]),
        closes=tuple(ClientClose(**each) for each in told["closes"]), results=tuple(told["results"]),
        errors=tuple(ClientError(**each) for each in told["errors"]), ended=told["ended"],
        told=tuple(told["told"]),
    )  # fmt: skip


def fatal_codes(*, cache: Path = CACHE) -> frozenset[int]:
    """The codes of close frames after which the installed graphql-ws does not connect again."""
    folder = install(HERE / "package.json", [HERE / "sockets.mjs", HERE / "fatal.mjs"], "sockets", cache=cache)
    return frozenset(_node(folder, ["fatal.mjs"], START_SECONDS))


def _node(folder: Path, arguments: Sequence[str], seconds: float) -> Any:
    done = subprocess.run(
        ["node", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode != 0:
        raise NpmError(f"{arguments[0]} failed: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)
