"""``python -m tools.audit.sockets``: graphql-ws, Apollo Client, urql, subscriptions-transport-ws and graphql-sse.

Each runs a query and a subscription, as far as its protocol carries them. Then the codes of close frames that are final
for graphql-ws are compared with those that the guard relies on. 1 if anything is missing, 2 if the clients cannot run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.socket_servers import STRAWBERRY, serving
from tools.audit.npm import NpmError
from tools.audit.sockets.clients import CLIENTS, ClientRun, fatal_codes, run_client

SECONDS: Final = 15.0
FATAL: Final = frozenset(
    {1002, 1003, 1004, 1007, 1008, 1009, 1010, 1011, 1015, 4004, 4005, 4400, 4401, 4406, 4409, 4429, 4500}
)
"""After these graphql-ws gives up. The guard uses one of them only where the same client would be refused again."""


@dataclass(frozen=True, slots=True)
class SocketCase:
    """An operation, and the results that each client has to show for it."""

    name: str
    document: str
    results: tuple[Any, ...]


CASES: Final = (
    SocketCase("query", "query Me { me { id } }", ({"me": {"id": "anonymous"}},)),
    SocketCase("subscription", "subscription Count { count(to: 3) }", ({"count": 1}, {"count": 2}, {"count": 3})),
)
ONLY_SUBSCRIPTIONS: Final = frozenset({"subscriptions-transport-ws", "apollo", "urql"})
"""Clients that ask other operations elsewhere, by HTTP; Strawberry refuses queries over the older protocol."""


def problems(case: SocketCase, found: ClientRun) -> list[str]:
    """What a client does not show, or did more than once."""
    wrong = []
    if _bare(found.results) != case.results:
        wrong.append(f"{found.client} shows {list(found.results)} for the {case.name}")
    wrong += [f"{found.client} shows the error {error.message!r}" for error in found.errors]
    if len(found.connects) != 1:
        wrong.append(f"{found.client} connected {len(found.connects)} times for the {case.name}")
    return wrong


def _bare(results: Sequence[Any]) -> tuple[Any, ...]:
    """Results without the names of types that some clients ask for."""
    return tuple(_without_names(each) for each in results)


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_names(each) for name, each in value.items() if name != "__typename"}
    return value


def changed(fatal: frozenset[int]) -> list[str]:
    """How the codes that are final for the client differ from those that the guard relies on."""
    return [
        *(f"graphql-ws tries again after {code}" for code in sorted(FATAL - fatal)),
        *(f"graphql-ws gives up after {code}" for code in sorted(fatal - FATAL)),
    ]


def main() -> int:
    """Run all clients."""
    try:
        with tempfile.TemporaryDirectory() as folder, serving("uvicorn", STRAWBERRY, Path(folder)) as server:
            wrong = [
                sentence
                for client in CLIENTS
                for case in CASES
                if case.name == "subscription" or client not in ONLY_SUBSCRIPTIONS
                for sentence in problems(
                    case, run_client(client, f"{server.url}/graphql", case.document, seconds=SECONDS)
                )
            ]
        wrong += changed(fatal_codes())
    except (NpmError, subprocess.TimeoutExpired, RuntimeError) as problem:
        print(f"sockets: {problem}", file=sys.stderr)
        return 2
    for sentence in wrong:
        print(f"        {sentence}")
    print("met: every client shows its app what it asked for" if not wrong else f"missed: {len(wrong)}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
