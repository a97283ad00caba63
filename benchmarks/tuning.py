"""From monitor to enforce, on an hour of traffic made in a minute: ordinary users of several tiers beside attackers.

A guard in monitor mode, on a clock that the benchmark moves, writes its log; ``fraiseql-guard tune`` reads it; what it
recommends is enforced on the same traffic. Printed is who is refused then: no ordinary user, and every attack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema, build_schema

import examples.starlette_blog
from fraiseql_guard import Guard
from fraiseql_guard.core.settings import VARIABLES, Settings
from fraiseql_guard.operations.log_analysis.log_line import LogFilter
from fraiseql_guard.operations.log_analysis.usage import LogUsage
from fraiseql_guard.operations.tuning.report import as_text
from fraiseql_guard.operations.tuning.reporting import report_of
from fraiseql_guard.operations.tuning.result import TuningResult, tuning_of
from fraiseql_guard.testing import ManualClock, make_token
from tests.corpus.loading import Case, load

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
CONFIGURED: dict[str, Any] = {
    "jwt_secret": SECRET,
    "auth_required": "false",
    "tiers": "free=300/minute,pro=2000/minute",
    "max_in_flight": "50",
}
"""What the operator has begun with: the defaults, and generous rates."""
_JSON = {"content-type": "application/json"}
_CORPUS_ATTACKERS = 2

DOCUMENTS: Mapping[str, str] = {
    "Home": "query Home($n: Int) { posts(limit: $n) { id title author { name } } }",
    "Post": "query Post($id: ID!) { user(id: $id) { posts(limit: 5) { title comments(limit: 20) "
    "{ body author { name } } } } }",
    "Profile": "query Profile($id: ID!) { user(id: $id) { name email invitedBy { name } } }",
    "Feed": "query Feed($n: Int, $after: String) { postsConnection(first: $n, after: $after) "
    "{ edges { cursor node { title author { name } } } pageInfo { hasNextPage endCursor } } }",
    "Search": "query Search($text: String!) { search(text: $text, limit: 10) { ... on Post { title } "
    "... on User { name } } }",
    "People": "query People($n: Int, $from: Int) { users(limit: $n, offset: $from) { id name } }",
    "Team": "query Team { a: user(id: 1) { name } b: user(id: 2) { name } c: user(id: 3) { name } }",
    "Write": 'mutation Write($title: String!) { createPost(input: {authorId: "1", title: $title, body: "b"}) { id } }',
}
"""What the app's clients send."""
_MILLISECONDS = {"Home": 3, "Post": 25, "Profile": 1, "Feed": 6, "Search": 40, "People": 4, "Team": 2, "Write": 8}
"""What the database takes for each, about."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of the traffic: when, by whose token and from where, and whether it is an attack."""

    at: float
    address: str
    token: str | None
    body: bytes
    name: str
    attack: bool = False
    method: str = "POST"
    path: str = "/graphql"
    url: bytes = b""
    headers: tuple[tuple[str, str], ...] = tuple(_JSON.items())


@dataclass(slots=True)
class Outcome:
    """Who was refused: requests of ordinary users by code, and attacks that reached the app."""

    ordinary: int = 0
    ordinary_refused: Counter[str] = field(default_factory=Counter)
    attacks: int = 0
    attacks_passed: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


def schema() -> GraphQLSchema:
    """The blog's."""
    return build_schema(Path(examples.starlette_blog.__file__).with_name("schema.graphql").read_text(encoding="utf-8"))


def attacks() -> list[Case]:
    """Those of the corpus that a guard with the default settings and the blog's schema is to refuse."""
    return [
        case
        for case in load("attacks")
        if not case.settings and not case.schema and case.only in (None, "with") and case.path == "/graphql"
    ]


def traffic(minutes: int, users: int, *, clock: ManualClock, seed: int = 1) -> list[Sent]:
    """All requests of so many minutes, in order."""
    chance = random.Random(seed)
    began = clock()
    sent: list[Sent] = []
    for number in range(users):
        tier = ("free", "free", "free", "pro", None, "anonymous")[number % 6]
        sent += _visits(f"user-{number}", tier, minutes, chance, began, clock)
    sent += _attacks(minutes, chance, began)
    return sorted(sent, key=lambda each: each.at)


def _visits(
    name: str, tier: str | None, minutes: int, chance: random.Random, began: float, clock: ManualClock
) -> Iterator[Sent]:
    """One user's hour: visits of some minutes, with a few requests in each."""
    number = int(name.rpartition("-")[2])
    claims = {} if tier is None else {"tier": tier}
    token = None
    if tier != "anonymous":
        token = make_token(SECRET, sub=name, clock=clock, expires_in_seconds=80_000, **claims)
    address = f"198.51.{number // 250}.{number % 250 + 1}"
    busy = {"pro": 12, "free": 5}.get(tier or "", 4)
    for minute in range(minutes):
        if chance.random() < 0.6:
            continue
        for _ in range(chance.randint(1, busy)):
            at = began + minute * 60 + chance.random() * 60
            operation, variables = _asked(chance)
            body = json.dumps({"query": DOCUMENTS[operation], "variables": variables, "operationName": operation})
            yield Sent(at, address, token, body.encode(), operation)


def _asked(chance: random.Random) -> tuple[str, dict[str, Any]]:
    operation = chance.choices(list(DOCUMENTS), weights=(30, 15, 20, 15, 5, 8, 4, 3))[0]
    variables: dict[str, Any] = {}
    if operation in ("Home", "Feed", "People"):
        variables["n"] = chance.choice((10, 20, 20, 20, 50, 100))
    if operation == "People":
        variables["from"] = chance.choice((0, 0, 20, 40, 100, 200))
    if operation in ("Post", "Profile"):
        variables["id"] = str(chance.randint(1, 50))
    if operation == "Search":
        variables["text"] = chance.choice(("graph", "guard", "limit"))
    if operation == "Write":
        variables["title"] = "A title"
    return operation, variables


def _attacks(minutes: int, chance: random.Random, began: float) -> Iterator[Sent]:
    """The corpus from two addresses, each case several times; more often than most operations of users."""
    for case in attacks():
        for _ in range(max(2, minutes // 6)):
            at = began + chance.random() * minutes * 60
            address = f"203.0.113.{chance.randint(1, _CORPUS_ATTACKERS)}"
            yield Sent(at, address, None, case.body, case.name, True, case.method, case.path, case.url, case.headers)


async def play(sent: Sequence[Sent], clock: ManualClock, **options: Any) -> Outcome:
    """Send all requests through a guard with these options, each at its moment; return what became of them."""
    reached: list[str] = []
    chance = random.Random(2)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        name = reached_name[0]
        reached.append(name)
        if name in _MILLISECONDS:
            guard.database.record_query(_MILLISECONDS[name] / 1000 * chance.uniform(0.7, 1.5), query_type="select")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"data":{}}'})

    reached_name = [""]
    guard = Guard(app, clock=clock, schema=schema(), **options)
    outcome = Outcome()
    try:
        for number, each in enumerate(sent):
            clock.advance(max(0.0, each.at - clock()))
            reached_name[0] = each.name
            reached.clear()
            status, body = await _send(guard, each)
            _note(outcome, each, status, body, reached=bool(reached))
            # The log's writer is a thread of its own, with bounded room.
            if number % 500 == 0:
                guard.flush()
        guard.flush()
    finally:
        await guard.aclose()
    return outcome


async def _send(guard: Guard, each: Sent) -> tuple[int, bytes]:
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in each.headers]
    if each.token is not None:
        lines.append((b"authorization", b"Bearer " + each.token.encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": each.method, "scheme": "http",
        "path": each.path, "raw_path": each.path.encode(), "root_path": "", "query_string": each.url,
        "headers": lines, "client": (each.address, 40_000), "server": ("blog.example", 80),
    }  # fmt: skip
    status, parts = 0, []
    messages = [{"type": "http.request", "body": each.body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await guard(scope, receive, send)
    return status, b"".join(parts)


def _note(outcome: Outcome, each: Sent, status: int, body: bytes, *, reached: bool) -> None:
    if each.attack:
        outcome.attacks += 1
        if reached:
            outcome.attacks_passed[each.name] += 1
    else:
        outcome.ordinary += 1
    if not reached:
        code = _code_of(body) or str(status)
        outcome.codes[code] += 1
        if not each.attack:
            outcome.ordinary_refused[code] += 1


def _code_of(body: bytes) -> str | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    first = found[0] if isinstance(found, list) and found else found
    errors = first.get("errors") if isinstance(first, dict) else None
    return errors[0].get("extensions", {}).get("code") if errors else None


def tuned(log: Path, **options: Any) -> TuningResult:
    """What ``fraiseql-guard tune`` says of a log, beside these settings."""
    usage = LogUsage()
    with log.open("rb") as lines:
        usage.read((line.rstrip(b"\n") for line in lines), LogFilter())
    settings = Settings.load({}, **options)
    return tuning_of(report_of([usage.table]), settings)


def by_option(values: Mapping[str, str]) -> dict[str, Any]:
    """Values of variables as options of a guard."""
    options = {row.name: row.option for row in VARIABLES}
    return {options[name]: value for name, value in values.items()}


async def monitor_then_enforce(minutes: int, users: int, folder: Path, *, seed: int = 1) -> Played:
    """The traffic in monitor mode, what is recommended after it, and the same traffic with that enforced."""
    log = folder / "guard.log"
    clock = ManualClock(1_700_000_000.0)
    sent = traffic(minutes, users, clock=clock, seed=seed)
    before = await play(sent, clock, mode="monitor", log_file=log, **CONFIGURED)
    found = tuned(log, **CONFIGURED)
    options = {**CONFIGURED, **by_option(found.values), "mode": "enforce", "log_file": folder / "enforced.log"}
    after = await play(sent, ManualClock(1_700_000_000.0), **options)
    alone = await play(one_by_one(), ManualClock(1_700_000_000.0), **options)
    return Played(before, found, after, alone)


def one_by_one() -> list[Sent]:
    """Each attack once, from an address of its own: no sanction and no rate helps against it."""
    return [
        Sent(1_700_000_000.0 + number, f"192.0.2.{number + 1}" if number < 250 else f"198.18.0.{number - 249}", None,
             case.body, case.name, True, case.method, case.path, case.url, case.headers)
        for number, case in enumerate(attacks())
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Played:
    """What became of the traffic in monitor mode, what is recommended, and what becomes of it then; and of each attack
    alone."""

    before: Outcome
    found: TuningResult
    after: Outcome
    alone: Outcome


def main() -> int:
    """Print the advice, and who is refused with it. Ends with 1 if an ordinary user is, or an attack is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tuning", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        played = asyncio.run(monitor_then_enforce(options.minutes, options.users, Path(folder), seed=options.seed))
        size = (Path(folder) / "guard.log").stat().st_size
    _print(played, size)
    print(f"{time.perf_counter() - began:.0f} seconds")
    return int(bool(played.after.ordinary_refused or played.after.attacks_passed or played.alone.attacks_passed))


def _print(played: Played, log_bytes: int) -> None:
    before, found, after, alone = played.before, played.found, played.after, played.alone
    for line in as_text(found):
        print(line)
    print(
        f"\n{before.ordinary:,} ordinary requests and {before.attacks:,} attacks of {len(attacks())} kinds in monitor "
        f"mode; the log has {log_bytes / 1e6:.1f} MB. Recommended:"
    )
    for variable, value in found.values.items():
        print(f"   {variable}={value}")
    refused = sum(after.ordinary_refused.values())
    print(f"Enforced on the same traffic: {refused} of {after.ordinary:,} ordinary requests are refused")
    for what, outcome in (("of the same traffic", after), ("each alone, from an address of its own", alone)):
        passed = sum(outcome.attacks_passed.values())
        print(f"and {outcome.attacks - passed:,} of {outcome.attacks:,} attacks {what}: {dict(outcome.codes)}")
    if refused or after.attacks_passed or alone.attacks_passed:
        print(f"ordinary: {dict(after.ordinary_refused)}")
        print(f"attacks that passed: {dict(after.attacks_passed)}, {dict(alone.attacks_passed)}")


if __name__ == "__main__":
    sys.exit(main())
