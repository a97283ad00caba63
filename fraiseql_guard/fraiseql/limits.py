"""How long PostgreSQL may work on a request's statements, and how it is told without a trip of its own.

One more exchange with the database would cost a request more than all else that happens around a statement here. So
the limit travels in one message with the BEGIN that is sent anyway.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

from fraiseql_guard.request import current, remaining_seconds

_MARGIN_SECONDS: Final = 0.25
"""The guard's own deadline comes first and answers the client; PostgreSQL's is for when the guard cannot."""
_STEPS_A_SECOND: Final = 4
_WORTHWHILE: Final = 1.25
"""A limit that is this much too long is set anew."""
_SETTING: Final = re.compile(r"\s*set\b", re.IGNORECASE)
_OWN_LIMIT: Final = re.compile(
    r"\s*set\s++(?:local\s++|session\s++)?statement_timeout\s*+(?:=|to)\s*+'?(\d+)(?:ms)?\b", re.IGNORECASE
)


def limit_seconds(remaining_seconds: float) -> float:
    """What PostgreSQL may take for a request with so much time left: never 0, which would be no limit at all.

    Rounded up to a quarter of a second, so that PostgreSQL's own statistics of statements stay few.
    """
    return math.ceil((remaining_seconds + _MARGIN_SECONDS) * _STEPS_A_SECOND) / _STEPS_A_SECOND


class Limit:
    """The statement_timeout of one connection, as long as one request has it."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: float | None = None
        """What PostgreSQL was told in this transaction; None if nothing."""

    def due(self, status: int, query: Any, now: float) -> float | None:
        """The limit to set before a statement, in seconds; None if the one in force will do, or none can be set.

        ``status`` is the connection's; what it says of autocommit is the caller's to ask.
        """
        if status == TransactionStatus.IDLE:
            self.seconds = None  # SET LOCAL ended with its transaction
        elif status != TransactionStatus.INTRANS:
            return None
        if isinstance(query, str) and _SETTING.match(query):
            self._note(query)
            return None
        ctx = current()
        remaining = None if ctx is None else remaining_seconds(ctx, now)
        if remaining is None:
            return None
        limit = limit_seconds(remaining)
        return None if self.seconds is not None and self.seconds <= limit * _WORTHWHILE else limit

    def _note(self, query: str) -> None:
        """FraiseQL (or the app) sets a limit itself: its will be done, and no second one is sent."""
        found = _OWN_LIMIT.match(query)
        if found is not None:
            self.seconds = int(found[1]) / 1000


def set_limit(seconds: float) -> bytes:
    """The statement for PostgreSQL."""
    return b"SET LOCAL statement_timeout = %d" % int(seconds * 1000)


def can_be_told(connection: AsyncConnection[Any], status: int) -> bool:
    """Whether :func:`tell` may be used: not in a pipeline, nor to begin a transaction that has options of its own."""
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        return False
    return status != TransactionStatus.IDLE or (
        connection.isolation_level is None and connection.read_only is None and connection.deferrable is None
    )


async def tell(connection: AsyncConnection[Any], status: int, seconds: float) -> None:
    """Set the limit in one exchange, which also begins the transaction if none has begun. Raises what psycopg does."""
    command = set_limit(seconds)
    async with connection.lock:
        await connection.wait(
            _exchange(connection, b"BEGIN; " + command if status == TransactionStatus.IDLE else command)
        )


def _exchange(connection: AsyncConnection[Any], command: bytes) -> Any:
    """A generator as psycopg's connection waits for."""
    connection.pgconn.send_query(command)
    for result in (yield from execute(connection.pgconn)):
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
