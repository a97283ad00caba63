"""How long PostgreSQL may work on a request's statements, and how it is told without a trip of its own.

One more exchange with the database would cost a request more than all else that happens around a statement here. So
the limit travels in one message with the BEGIN that is sent anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

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

is_setting: Final = re.compile(r"\s*set\b", re.IGNORECASE).match
"""Of a statement: no limit is sent before it."""
_OWN_LIMIT: Final = re.compile(
    r"\s*set\s++(?:local\s++|session\s++)?statement_timeout\s*+(?:=|to)\s*+'?(\d+)(?:ms)?\b", re.IGNORECASE
)


def own_limit(setting: str) -> float | None:
    """The seconds that FraiseQL (or the app) sets itself: its will be done, and no second limit is sent."""
    found = _OWN_LIMIT.match(setting)
    return None if found is None else int(found[1]) / 1000


async def tell(connection: AsyncConnection[Any], seconds: float, plainly: Callable[..., Any]) -> None:
    """Set the limit in one exchange, which also begins the transaction if none has begun. Raises what psycopg does.

    In a pipeline, and to begin a transaction that has options of its own, ``plainly`` executes it: on the cursor, where
    a message of our own would be out of place.
    """
    pgconn, command = connection.pgconn, b"SET LOCAL statement_timeout = %d" % int(seconds * 1000)
    begins = pgconn.transaction_status == TransactionStatus.IDLE
    if pgconn.pipeline_status != PipelineStatus.OFF or (
        begins
        and not (connection.isolation_level is None and connection.read_only is None and connection.deferrable is None)
    ):
        await plainly(command, prepare=False)
        return
    lock = connection.lock
    await lock.acquire()  # ``async with`` takes twice as many calls
    try:
        pgconn.send_query(b"BEGIN; " + command if begins else command)
        results = await connection.wait(execute(pgconn))
    finally:
        lock.release()
    for result in results:
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
