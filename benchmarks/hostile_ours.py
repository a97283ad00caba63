"""Our side of ``python -m benchmarks hostile``: the reader alone and the whole guard, on every attack and size."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.hostile_attacks import ATTACKS, Attack
from benchmarks.hostile_peers import SCHEMA, Figure
from fraiseql_guard import Guard
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql import Reader
from fraiseql_guard.graphql.http.envelope import EnvelopeReader
from fraiseql_guard.graphql.syntax.prescanner import Prescanner

KIB: Final = 1024
STEPS: Final = (1, 4, 16, 64, 256)
"""Sizes in KiB; the body limit itself is the last one."""
EDGE: Final = "edge"
"""The largest request of an attack that still reaches the parser: the dearest that the scan lets through."""
READER, SCHEMALESS, GUARD = "reader", "no schema", "guard"
WITHOUT_SANCTIONS: Final = {"dos_offences": 10**9, "rate_limit_abuse_offences": 10**9}
LIMIT: Final = "900000000/minute"
JSON: Final = "application/json"

REMEMBERED: Final = "query Posts($n:Int){posts(limit:$n){id title author{id name} comments(limit:3){id body}}}"
REMEMBERED_RUNS: Final = 5_000
REMEMBERED_ROUNDS: Final = 7


@dataclass(frozen=True, slots=True)
class Case:
    """One attack at one size."""

    attack: Attack
    size: str
    repetitions: int
    bytes: int

    def bodies(self, count: int) -> list[bytes]:
        """As many, no two of them the same document."""
        return [self.attack.build(self.repetitions, str(number)) for number in range(count)]


def cases(settings: Settings) -> Iterator[Case]:
    """Every attack, growing: the steps, the edge in its place, and the body limit."""
    envelopes, scanner = EnvelopeReader(settings), Prescanner(settings)
    limit = settings.max_body_bytes

    def parsed(body: bytes) -> bool:
        found = envelopes.read("POST", JSON, b"", body)
        return isinstance(found, tuple) and scanner.check(found[0].query or "") is None

    for attack in ATTACKS:
        sizes = [f"{step} KiB" for step in STEPS if step * KIB < limit] + ["limit"]
        most = [*(step * KIB for step in STEPS if step * KIB < limit), limit]
        counts = [attack.repetitions(lambda body, top=top: len(body) <= top) for top in most]  # type: ignore[misc]
        found = list(zip(sizes, counts, strict=True))
        edge = attack.repetitions(lambda body: len(body) <= limit and parsed(body))
        if edge not in counts:
            found.append((EDGE, edge))
        for size, count in sorted(found, key=lambda item: item[1]):
            if count:
                yield Case(attack, size, count, len(attack.build(count, "0")))


class Ours:
    """Readers with and without the schema, and the guard in front of an app that does nothing."""

    def __init__(self, settings: Settings) -> None:
        schema = SCHEMA.read_text(encoding="utf-8")
        self._readers = {READER: Reader(settings, schema), SCHEMALESS: Reader(settings)}
        self._guard = Guard(_app, schema=schema, rate_limit_default=LIMIT, log_file=os.devnull, **WITHOUT_SANCTIONS)

    async def measure(self, case: Case, rounds: int) -> tuple[dict[str, Figure], str]:
        """Median CPU of each by name, and the code of the refusal."""
        figures: dict[str, Figure] = {}
        bodies = case.bodies(rounds)
        code = ""
        for name, reader in self._readers.items():
            times = []
            for body in bodies:
                began = time.process_time()
                reading = reader.read("POST", JSON, b"", body, authenticated=False)
                times.append((time.process_time() - began) * 1e3)
            refused = reading.denial is not None
            if name == READER and reading.denial is not None:
                code = reading.denial.code.name
            figures[name] = Figure(statistics.median(times), "refused" if refused else "admitted")
        figures[GUARD] = await self._through_guard(bodies)
        return figures, code

    async def _through_guard(self, bodies: Sequence[bytes]) -> Figure:
        times: list[float] = []
        status = 0

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        for body in bodies:
            began = time.process_time()
            await self._guard(_scope(body), _receiver(body), send)
            times.append((time.process_time() - began) * 1e3)
        if status not in (200, 400, 413):
            raise SystemExit(f"the guard answered {status}: the figures would be worthless")
        return Figure(statistics.median(times), "admitted" if status == 200 else "refused")

    async def aclose(self) -> None:
        """End the guard."""
        await self._guard.aclose()


def remembered(settings: Settings) -> dict[str, float]:
    """CPU microseconds to read what was read before: the same request, and the same document with new variables."""
    reader = Reader(settings, SCHEMA.read_text(encoding="utf-8"))
    numbers = itertools.count()

    def same() -> bytes:
        return _asking(1, 0)

    def new() -> bytes:
        number = next(numbers)
        return _asking(1 + number % (settings.max_query_complexity // 10 - 1), number)

    def microseconds(make: Callable[[], bytes]) -> float:
        rounds, read = [], reader.read
        for _ in range(REMEMBERED_ROUNDS):
            bodies = [make() for _ in range(REMEMBERED_RUNS)]
            began = time.process_time()
            for body in bodies:
                reading = read("POST", JSON, b"", body, authenticated=False)
            rounds.append((time.process_time() - began) / REMEMBERED_RUNS * 1e6)
            if reading.denial is not None:
                raise SystemExit("the remembered document is refused: the figure would be worthless")
        return statistics.median(rounds)

    return {"the same request": microseconds(same), "new variables each time": microseconds(new)}


def _asking(size: int, unique: int) -> bytes:
    return json.dumps({"query": REMEMBERED, "variables": {"n": size, "unique": unique}}).encode()


def _receiver(body: bytes) -> Callable[[], Any]:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _scope(body: bytes) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/graphql", "raw_path": b"/graphql", "root_path": "", "query_string": b"",
        "client": ("203.0.113.7", 40000), "server": ("127.0.0.1", 80),
        "headers": [
            (b"host", b"api.example.org"), (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }  # fmt: skip


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
