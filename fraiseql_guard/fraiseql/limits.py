"""How long PostgreSQL may work on a request's statements, and how it is told without a trip of its own.

One more exchange with the database would cost a request more than all else that happens around a statement here. So
the limit travels in one message with the BEGIN that is sent anyway.
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
"""The guard's own deadline comes first and answers the client; PostgreSQL's is for when the guard cannot."""
STEPS_A_SECOND: Final = 4
"""Limits are rounded up to such steps, so that PostgreSQL's own statistics of statements stay few."""
WORTHWHILE: Final = 1.25
"""A limit that is this much too long is set anew."""

KNOWN_SECONDS: Final = 60.0
"""How long what a session allows by itself is taken for known."""

is_setting: Final = re.compile(r"\s*set\b", re.IGNORECASE).match
"""Of a statement: no limit is sent before it."""
_OWN_LIMIT: Final = re.compile(
    r"\s*set\s++(?:local\s++|session\s++)?statement_timeout\s*+(?:=|to)\s*+'?(\d+)(?:ms)?\b", re.IGNORECASE
)
_NOW: Final = b"pg_catalog.current_setting('statement_timeout')"
_DURATION: Final = re.compile(rb"(\d+)(ms|s|min|h|d|)")
_UNITS: Final[Mapping[bytes, float]] = {b"": 0.001, b"ms": 0.001, b"s": 1, b"min": 60, b"h": 3600, b"d": 86_400}
_DONE: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def own_limit(setting: str) -> float | None:
    """The seconds that FraiseQL (or the app) sets itself: its will be done, and no second limit is sent."""
    found = _OWN_LIMIT.match(setting)
    return None if found is None else int(found[1]) / 1000


class SessionLimit:
    """What PostgreSQL allows a statement of a connection by itself: the limit of its role, its database or its server.

    Asked for once a minute, for PgBouncer may put another server's session behind a connection.
    """

    __slots__ = ("known_until", "seconds")

    def __init__(self) -> None:
        self.seconds = math.inf
        self.known_until = -math.inf


class Bounded(Protocol):
    """A connection whose statements are bounded."""

    connection: Any
    session: SessionLimit
    clock: Callable[[], float]


async def tell(bounded: Bounded, seconds: float, plainly: Callable[..., Any]) -> float:
    """Set the limit in one exchange, which also begins the transaction if none has begun. Returns the seconds that are
    in force then: a lower limit of PostgreSQL's own stays. Raises what psycopg does.

    In a pipeline, and to begin a transaction that has options of its own, ``plainly`` executes it: on the cursor, where
    a message of our own would be out of place.
    """
    connection: AsyncConnection[Any] = bounded.connection
    pgconn, session, now = connection.pgconn, bounded.session, bounded.clock()
    begins = pgconn.transaction_status == TransactionStatus.IDLE
    if pgconn.pipeline_status != PipelineStatus.OFF or (
        begins
        and not (connection.isolation_level is None and connection.read_only is None and connection.deferrable is None)
    ):
        await plainly(_lower_of(seconds), prepare=False)
        return seconds
    known = now < session.known_until
    if known:
        seconds = min(seconds, session.seconds)
    command = b"SET LOCAL statement_timeout = %d" % int(seconds * 1000) if known else _lower_of(seconds)
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
    before = _seconds(results[-1].get_value(0, 0))
    if begins:  # else it may be what was set in this transaction
        session.seconds, session.known_until = before, now + KNOWN_SECONDS
    return min(before, seconds)


def _lower_of(seconds: float) -> bytes:
    """A statement that sets the limit, unless a lower one is in force, and returns what was in force before."""
    limit = b"'%dms'" % int(seconds * 1000)
    return (
        b"SELECT %(now)s, pg_catalog.set_config('statement_timeout', CASE WHEN %(now)s = '0' OR %(now)s"
        b"::pg_catalog.interval > %(limit)s::pg_catalog.interval THEN %(limit)s ELSE %(now)s END, true)"
    ) % {b"now": _NOW, b"limit": limit}


def _seconds(setting: bytes | None) -> float:
    """PostgreSQL's way to write a duration; 0 is none."""
    found = _DURATION.fullmatch(setting or b"")
    if found is None:
        return math.inf  # of a server that writes it in another way nothing is known
    return int(found[1]) * _UNITS[found[2]] or math.inf
