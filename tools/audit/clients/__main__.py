"""``python -m tools.audit.clients``: Apollo Client 3 and 4, urql, graphql-request and Relay against a guarded server.

Each asks alone, in batches and by hash, as far as it can, and has to show its app what it is meant to see: data, or the
code of the refusal. Prints a table; 1 if anything is missing in it, 2 if the clients cannot run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.process import ExampleServer
from tools.audit.npm import NpmError, install

HERE: Final = Path(__file__).resolve().parent
PACKAGE: Final = "tools.audit.batching"
SECONDS: Final = 180.0
DATA: Final = "data"
BATCH: Final = 3
"""Operations in a batch, as clients.mjs sends them."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the clients ask of a server with these variables, what all of them have to show, and a status that has to
    occur. ``kind``: a good query, one that is refused, or one that they send again when they are told to wait."""

    name: str
    kind: str
    variables: Mapping[str, str]
    expected: str
    status: int


CASES: Final = (
    Case("APQ off", "plain", {}, DATA, 200),
    Case("APQ on", "plain", {"FRAISEQL_GUARD_APQ": "true"}, DATA, 200),
    Case("400", "refused", {}, "QUERY_TOO_DEEP", 400),
    Case("401", "plain", {"FRAISEQL_JWT_SECRET": "for-nothing-but-tests-" * 2}, "UNAUTHENTICATED", 401),
    Case("429", "retry", {"FRAISEQL_RATE_LIMIT_DEFAULT": "1/second", "FRAISEQL_RATE_LIMIT_BURST": "0"}, DATA, 429),
    Case("503", "plain", {"FRAISEQL_GUARD_MAX_BUFFERED_BYTES": "1"}, "BODY_BUFFER_FULL", 503),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the app of one client gets to see when it asks in one form; the statuses that came, and how many operations
    the last batch held."""

    client: str
    form: str
    outcome: str
    statuses: tuple[int, ...]
    batch: int


def asked(case: Case, folder: Path) -> list[Seen]:
    """What each client shows in one case, from a server of its own on a free loopback port."""
    node_folder = install(HERE / "package.json", [HERE / "clients.mjs"], "clients")
    with ExampleServer(PACKAGE, folder, {"FRAISEQL_GUARD_BATCHING": "true", **case.variables}) as server:
        command = ["node", "clients.mjs", f"{server.url}/graphql", case.kind]
        done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        raise NpmError(f"the clients failed: {done.stderr.strip()[-800:]}")
    return [Seen(**{**item, "statuses": tuple(item["statuses"])}) for item in json.loads(done.stdout)]


def problems(case: Case, found: Sequence[Seen]) -> list[str]:
    """What the clients do not show, or did not really do."""
    wrong = [f"{item.client} ({item.form}) shows {item.outcome}" for item in found if item.outcome != case.expected]
    wrong += [f"{item.client} sent no batch" for item in found if item.form == "batch" and item.batch < BATCH]
    if not any(case.status in item.statuses for item in found):
        wrong.append(f"no client was answered {case.status}")
    return wrong


def main() -> int:
    """Run all cases."""
    missed = 0
    try:
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                found = asked(case, Path(folder))
            wrong = problems(case, found)
            missed += len(wrong)
            print(f"{case.name:8}{len(found) - len(wrong)} of {len(found)} show {case.expected}")
            for sentence in wrong:
                print(f"        {sentence}")
    except (NpmError, subprocess.TimeoutExpired, RuntimeError) as problem:
        print(f"clients: {problem}", file=sys.stderr)
        return 2
    print("met: every client shows its app what it is meant to see" if not missed else f"missed: {missed}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
