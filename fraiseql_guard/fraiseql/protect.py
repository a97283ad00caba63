"""Guards a FraiseQL app in one call, with the wiring that only FraiseQL needs. Nothing is patched."""

from __future__ import annotations

from typing import Any

from fraiseql.audit import set_security_logger
from fraiseql.fastapi.dependencies import get_db_pool

from fraiseql_guard.asgi.app_chain import chain
from fraiseql_guard.asgi.guard import Guard
from fraiseql_guard.fraiseql.repository import repository_dependency
from fraiseql_guard.fraiseql.security import BridgedSecurityLogger
from fraiseql_guard.fraiseql.wiring import wire


def protect(app: Any, **options: Any) -> Guard:
    """Guard a FraiseQL app: ``app = protect(create_fraiseql_app(...))``. Serve the returned Guard.

    ``options`` are Guard's. Besides the guard itself this brings

    * the database pool's gauges, and its size for the caps on operations in flight;
    * every statement of FraiseQL's repository timed by type and table, slow and stopped ones logged, and each bounded
      in PostgreSQL (statement_timeout) by the time that its request has left;
    * the verified user as FraiseQL's UserContext, unless FraiseQL has an auth provider of its own;
    * FraiseQL's security events in the guard's log.

    If the app overrides one of these FastAPI dependencies itself, its override stays in force, and the log names it.
    TypeError if ``app`` is no FastAPI app.
    """
    host = next((each for each in chain(app) if hasattr(each, "dependency_overrides")), None)
    if host is None:
        raise TypeError(f"protect() takes the app that create_fraiseql_app returns, not {type(app).__name__}")
    guard = Guard(app, **options)
    for name in wire(host.dependency_overrides, repository_dependency(guard.database, lambda: guard.settings)):
        guard.recorder.warn(f"the app overrides {name} itself, so that FraiseQL is not wired to the guard there")
    guard.observe_pool(_pool)
    set_security_logger(BridgedSecurityLogger(lambda: guard.recorder))
    return guard


def _pool() -> Any:
    """FraiseQL's present pool; None before the app's start. FraiseQL makes a new pool at each start of the app."""
    try:
        return get_db_pool()
    except RuntimeError:  # before the start there is none
        return None
