"""Where an app reports to the guard in front of it how its logins went.

reports = logins(request)                                # a Starlette request, or an ASGI scope
if lockout := await reports.locked(name):                # before looking at the password
    return JSONResponse(..., 429, {"Retry-After": str(lockout.retry_after_seconds)})
if not right(name, password):
    await reports.failed(name)
    ...
await reports.succeeded(name)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.asgi.describe import context_of
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.checks.lockouts import Lockout, Lockouts
from fraiseql_guard.core.context import RequestContext

MARK: Final = "fraiseql_guard"
"""Key of the scope under which the innermost guard makes itself known."""


@dataclass(frozen=True, slots=True)
class Logins:
    """The logins of one request, told to the guard that let it pass. Nothing in here raises.

    ``identifier`` is whatever tells accounts apart: best the account's own key, if the app has found it, else the name
    as it was typed (it is trimmed, normalised and compared without case). It counts together with the caller's
    address, so that the account's owner elsewhere is never locked out.
    """

    _lockouts: Lockouts
    _context: RequestContext

    async def locked(self, identifier: str) -> Lockout | None:
        """Ask before looking at the password: the lockout in force, if any. None in monitor mode."""
        return await self._lockouts.locked(identifier, self._context)

    async def failed(self, identifier: str) -> Lockout | None:
        """Tell of a wrong password or an unknown name; the lockout that this failure brought, if it did."""
        return await self._lockouts.failed(identifier, self._context)

    async def succeeded(self, identifier: str) -> None:
        """Tell of a login: its earlier failures are forgotten."""
        await self._lockouts.succeeded(identifier, self._context)


def logins(request: Any, guard: Any = None) -> Logins:
    """Where the app reports the logins of a request: a Starlette request or websocket, or an ASGI scope.

    ``guard`` is asked where none is in front of the app; without one it is a LookupError: nothing would be counted.
    """
    scope: Any = request if isinstance(request, Mapping) else request.scope
    guard = scope.get(MARK, guard)
    if guard is None:
        raise LookupError("No guard has seen this request, so its logins are not counted. Mount one: app = Guard(app)")
    runtime: Runtime = guard.runtime
    return Logins(runtime.lockouts, context_of(scope, runtime))
