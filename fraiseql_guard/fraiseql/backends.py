"""Lists the statements that the app's connections run in PostgreSQL now, and stops them.

For the command line: it opens a connection of its own, with the URL that the app uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fraiseql_guard.telemetry.database.statements import Statements

_QUERY_CHARS: Final = 500
_CONNECT_SECONDS: Final = 5
# The app's own connections: of the same role, to the same database, under the same application_name as in its URL.
_OWN: Final = """
    backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename = current_user
    AND datname = current_database() AND application_name = current_setting('application_name')
"""
_RUNNING: Final = f"""
    SELECT pid, state, extract(epoch FROM clock_timestamp() - query_start)::float AS seconds,
           coalesce(wait_event_type || ': ' || wait_event, '') AS waits_for, left(query, {_QUERY_CHARS}) AS query
    FROM pg_stat_activity
    WHERE {_OWN} AND state <> 'idle' AND clock_timestamp() - query_start >= make_interval(secs => %s)
    ORDER BY seconds DESC
"""  # noqa: S608 - made of our own constants
_CANCEL: Final = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {_OWN} AND pid = %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Backend:
    """A connection that works on a statement, or is in a transaction.

    ``state`` is PostgreSQL's (active, idle in transaction, ...), ``seconds`` the time since its statement began,
    ``waits_for`` a lock or the client. ``query`` is the beginning of the statement, with the values in it.
    """

    pid: int
    state: str
    seconds: float
    waits_for: str
    query: str

    @property
    def what(self) -> str:
        """The type and table of the statement, as in labels and log lines."""
        statement = Statements().describe(self.query)
        return f"{statement.query_type} {statement.table_name}".rstrip()


async def running(url: str, *, at_least_seconds: float = 0.0) -> Sequence[Backend]:
    """The app's connections that run a statement or are in a transaction, the longest first.
    psycopg.OperationalError if the database cannot be reached."""
    async with await _connect(url) as connection, connection.cursor(row_factory=class_row(Backend)) as cursor:
        await cursor.execute(_RUNNING, (at_least_seconds,))
        return await cursor.fetchall()


async def cancel(url: str, pid: int) -> bool:
    """Stop the statement of one of the app's connections; the connection stays open. False if ``pid`` is not the
    app's."""
    async with await _connect(url) as connection:
        row = await (await connection.execute(_CANCEL, (pid,))).fetchone()
        return bool(row and row[0])


async def _connect(url: str) -> AsyncConnection[Any]:
    return await AsyncConnection.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
