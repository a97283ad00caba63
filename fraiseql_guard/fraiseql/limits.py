"""Sets PostgreSQL's time limit for a request's statements (statement_timeout), without an extra round trip.

One more exchange with the database would cost a request more than all other work of the guard around a statement. So
the limit is sent in one message with the BEGIN that is sent anyway.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

MARGIN_SECONDS: Final = 0.25
"""PostgreSQL's limit is longer by this than the time that a request has left. The guard's own deadline comes first and
answers the client; PostgreSQL stops the statement where the guard cannot."""
STEPS_A_SECOND: Final = 4
"""Limits are rounded up to a fraction of a second: pg_stat_statements must not see a new statement for each limit."""
WORTHWHILE: Final = 1.25
"""A limit in force is replaced if it is longer than the wanted one by this factor."""

KNOWN_SECONDS: Final = 60.0
"""How long a session's own limit is remembered."""

is_setting: Final = re.compile(r"\s*set\b", re.IGNORECASE).match
"""Whether a statement is a SET: no limit is sent before it."""
_OWN_LIMIT: Final = re.compile(
    r"\s*set\s++(?:local\s++|session\s++)?statement_timeout\s*+(?:=|to)\s*+'?(\d+)(?:ms)?\b", re.IGNORECASE
)
_NOW: Final = b"pg_catalog.current_setting('statement_timeout')"
_DURATION: Final = re.compile(rb"(\d+)(ms|s|min|h|d|)")
_UNITS: Final[Mapping[bytes, float]] = {b"": 0.001, b"ms": 0.001, b"s": 1, b"min": 60, b"h": 3600, b"d": 86_400}
_DONE: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_NO_OPTIONS: Final = (None, None, None)
"""Transaction options (isolation, read only, deferrable) with which psycopg begins a transaction by a plain BEGIN."""


def own_limit(setting: str) -> float | None:
    """The seconds in a SET statement_timeout of FraiseQL or the app; None for any other SET."""
    found = _OWN_LIMIT.match(setting)
    return None if found is None else int(found[1]) / 1000


class SessionLimit:
    """The limit that a session has by itself, from its role, its database or its server: ``seconds`` is infinite
    without one.

    Read once a minute, because PgBouncer may put another server's session behind a connection.
    """

    __slots__ = ("known_until", "seconds")

    def __init__(self) -> None:
        self.seconds = math.inf
        self.known_until = -math.inf


class BoundedConnection(Protocol):
    """A connection whose statements are bounded (a Checkout)."""

    connection: Any
    session: SessionLimit
    clock: Callable[[], float]


async def send_limit(bounded: BoundedConnection, seconds: float, execute_plainly: Callable[..., Any]) -> float:
    """Set the limit in one exchange, which also begins the transaction if none has begun. Returns the limit in force
    afterwards, in seconds: a lower limit of the session stays. Raises psycopg's exceptions.

    In a pipeline, and where the transaction has options of its own, the limit goes through the cursor
    (``execute_plainly``): a message beside psycopg's own would be out of place there.
    """
    connection: AsyncConnection[Any] = bounded.connection
    pgconn, session, now = connection.pgconn, bounded.session, bounded.clock()
    begins = pgconn.transaction_status == TransactionStatus.IDLE
    in_pipeline = pgconn.pipeline_status != PipelineStatus.OFF
    options = (connection.isolation_level, connection.read_only, connection.deferrable)
    if in_pipeline or (begins and options != _NO_OPTIONS):
        await execute_plainly(_lower_of(seconds), prepare=False)
        return seconds
    # A known limit of the session is not read again.
    known = now < session.known_until
    if known:
        seconds = min(seconds, session.seconds)
        command = b"SET LOCAL statement_timeout = %d" % int(seconds * 1000)
    else:
        command = _lower_of(seconds)
    # One exchange, on psycopg's own connection and under its lock.
    lock = connection.lock
    await lock.acquire()  # ``async with`` takes twice as many calls
    try:
        pgconn.send_query(b"BEGIN; " + command if begins else command)
        results = await connection.wait(execute(pgconn))
    finally:
        lock.release()
    for result in results:
        if result.status not in _DONE:
            raise error_from_result(result)
    if known:
        return seconds
    # The limit in force before is the session's own, unless the transaction has set another.
    before = _seconds(results[-1].get_value(0, 0))
    if begins:
        session.seconds, session.known_until = before, now + KNOWN_SECONDS
    return min(before, seconds)


def _lower_of(seconds: float) -> bytes:
    """A statement that sets the limit unless a lower one is in force, and returns the limit that was in force
    before."""
    limit = b"'%dms'" % int(seconds * 1000)
    return (
        b"SELECT %(now)s, pg_catalog.set_config('statement_timeout', CASE WHEN %(now)s = '0' OR %(now)s"
        b"::pg_catalog.interval > %(limit)s::pg_catalog.interval THEN %(limit)s ELSE %(now)s END, true)"
    ) % {b"now": _NOW, b"limit": limit}


def _seconds(setting: bytes | None) -> float:
    """The seconds of a duration as PostgreSQL writes it (``250ms``, ``5min``); infinite for 0, which is no limit."""
    found = _DURATION.fullmatch(setting or b"")
    if found is None:
        return math.inf  # a server that writes durations in another way: its limit is not known
    return int(found[1]) * _UNITS[found[2]] or math.inf
