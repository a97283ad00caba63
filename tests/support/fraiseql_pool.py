"""A request at work on a pool of FraiseQL's kind, and what PostgreSQL was told of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.request import enter

LIMIT = "SELECT current_setting('statement_timeout') FROM pg_class LIMIT 1"


def work_until(seconds: float | None) -> RequestContext:
    ctx = RequestContext(
        method="POST", path="/graphql", query_string=b"", header_lines=(), headers={}, guarded=True, request_id="r",
        trace_id="t", endpoint="/graphql", address="192.0.2.1", address_subject=Subject("address", "192.0.2.1"),
    )  # fmt: skip
    ctx.ends_at = None if seconds is None else time.monotonic() + seconds
    enter({}, ctx)
    return ctx


def milliseconds(setting: str) -> int:
    for unit, factor in (("ms", 1), ("s", 1000), ("min", 60_000)):
        if setting.removesuffix(unit).isdecimal():
            return int(setting.removesuffix(unit)) * factor
    raise AssertionError(setting)


async def limit_in_force(connection: Any) -> int:
    row = await (await connection.execute(LIMIT)).fetchone()
    return milliseconds(row[0])


async def check_as_fraiseql_does(connection: Any) -> None:
    await connection.execute("SELECT 1")


@contextmanager
def counted_trips(connection: Any) -> Iterator[list[int]]:
    """How often a connection waits for PostgreSQL meanwhile, from libpq's own trace."""
    found: list[int] = []
    with tempfile.TemporaryFile("w+") as trace:
        connection.pgconn.trace(trace.fileno())
        try:
            yield found
        finally:
            connection.pgconn.untrace()
            trace.seek(0)
            found.append(sum("ReadyForQuery" in line for line in trace))
