"""``queries``, ``kill`` and ``pool``: the running statements of a FraiseQL app, and how full each worker's pool is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from fraiseql_guard.cli.audit import CommandAudit
from fraiseql_guard.cli.connect import STORE_SECONDS, AsOption, UrlOption, acting, ask
from fraiseql_guard.cli.errors import REFUSED, exit_on_error
from fraiseql_guard.cli.fleet import known_status, name_of_worker
from fraiseql_guard.cli.render import JsonOption, print_json, print_line, print_rows, printable
from fraiseql_guard.core import signals
from fraiseql_guard.core.fraiseql_variables import DATABASE_FILE_VARIABLE, DATABASE_VARIABLE
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.allow_list import AllowList
from fraiseql_guard.operations.operator.deps import OperatorDeps
from fraiseql_guard.stores import open_redis

if TYPE_CHECKING:
    from fraiseql_guard.fraiseql import backends

Answer = TypeVar("Answer")

_COLUMNS: Final = ("active", "idle", "total", "waiting")


def queries(
    at_least: Annotated[float, typer.Option("--at-least", min=0, help="Only those that run for so many seconds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List what the app's connections do in PostgreSQL at the moment, the longest first."""
    with exit_on_error():
        found = _ask_database(lambda on, url: on.running(url, at_least_seconds=at_least))
    if as_json:
        print_json([{**_fields(each), "what": each.what} for each in found])
        return
    rows = [(each.pid, each.state, f"{each.seconds:.1f} s", each.waits_for, each.what, each.query) for each in found]
    print_rows(("pid", "state", "for", "waits for", "what", "query"), rows, none="The app has nothing at work.")


def kill(
    pid: Annotated[int, typer.Argument(help="Of one of the app's connections, as `fraiseql-guard queries` says.")],
    acting_as: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the statement of one of the app's connections; the connection lives on. Those of others are not touched."""
    with exit_on_error():
        settings = Settings.load()
        actor = acting(settings, acting_as)
        stopped = _ask_database(lambda on, url: on.cancel(url, pid))
        # Audited even if nothing was stopped: an operator has tried.
        asyncio.run(_audited(settings, actor, {"pid": pid, "stopped": stopped}))
    if as_json:
        print_json({"pid": pid, "stopped": stopped})
    elif stopped:
        print_line(f"{pid}: its statement was told to stop.")
    else:
        print_line(f"{pid} is none of the app's connections: nothing was stopped.")
    if not stopped:
        raise typer.Exit(REFUSED)


def pool(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show how full the database pool of each worker is, where the guard can see it."""
    with exit_on_error():
        found = ask(url, known_status)
    known: Mapping[str, Mapping[str, int]] = {
        name_of_worker(each): each.pool for each in found.workers if each.pool is not None
    }
    if as_json:
        print_json(known)
        return
    rows = [(name, *(state.get(column) for column in _COLUMNS)) for name, state in known.items()]
    print_rows(("worker", *_COLUMNS), rows, none="No worker tells of a pool: is one observed (protect, observe_pool)?")


def _ask_database(question: Callable[[Any, str], Coroutine[Any, Any, Answer]]) -> Answer:
    """The result of ``question``, which is called with the module ``backends`` and the database's URL. ValueError if
    the database gives no answer; no message shows the URL, which may hold a password."""
    url, variable = _database_url()
    try:
        # FraiseQL and psycopg are no dependencies of the guard.
        import psycopg

        from fraiseql_guard.fraiseql import backends
    except ImportError as error:
        raise ValueError(f"this needs FraiseQL and psycopg, and {error.name} is not installed here") from None
    try:
        return asyncio.run(question(backends, url))
    except psycopg.Error as error:
        # Only the first line: PostgreSQL's hints and details may repeat the query.
        first = str(error).partition("\n")[0]
        raise ValueError(f"the database in {variable} does not answer: {printable(first)}") from None


def _database_url() -> tuple[str, str]:
    """The URL of the app's database, and the name of the variable that holds it. ValueError if none does, or if its
    file cannot be read."""
    if url := os.environ.get(DATABASE_VARIABLE, "").strip():
        return url, DATABASE_VARIABLE
    path = os.environ.get(DATABASE_FILE_VARIABLE, "").strip()
    if not path:
        raise ValueError(
            f"which database? Set {DATABASE_VARIABLE} as the app has it: postgresql://user@host/name, "
            f"or {DATABASE_FILE_VARIABLE} to a file that holds it"
        )
    try:
        url = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"{DATABASE_FILE_VARIABLE}={path!r} cannot be read: {cause}") from None
    if not url:  # libpq would take a database of its own choice
        raise ValueError(f"{DATABASE_FILE_VARIABLE}={path!r} is empty: it has to hold the URL of the app's database")
    return url, DATABASE_FILE_VARIABLE


async def _audited(settings: Settings, actor: str, fields: Mapping[str, Any]) -> None:
    """Audit an action: write its line, and put it among the last actions in Redis, if that is configured and
    answers."""
    audit = CommandAudit(settings)
    # Without a store there is no list of last actions; the line in the log is still written.
    if settings.redis_url is None:
        audit(signals.ADMIN_KILL, {"actor": actor, **fields})
        return
    store = open_redis(settings.redis_url, settings, timeout_seconds=STORE_SECONDS)
    try:
        deps = OperatorDeps(store=store, settings=settings, allow_list=AllowList(settings), audit=audit)
        await deps.record(signals.ADMIN_KILL, actor, fields)
    finally:
        await store.aclose()


def _fields(backend: backends.Backend) -> Mapping[str, Any]:
    return {name: getattr(backend, name) for name in ("pid", "state", "seconds", "waits_for", "query")}
