"""Finds out which operator makes a request to the API, and answers everything under the admin path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.place import NOT_A_ROUTE
from fraiseql_guard.operations.http.dispatch import AdminDispatch, Fault
from fraiseql_guard.operations.http.request import AdminDeps
from fraiseql_guard.operations.http.sessions import Principal, Session, cookie_name
from fraiseql_guard.operations.http.standing import Standing
from fraiseql_guard.operations.http.tokens import AdminTokens

USER_ACTOR: Final = "user:"
"""Begins the actor of a user with the admin scope, before the token's sub. No name of an admin token has a colon."""
_BEARER: Final = "bearer"

Identify = Callable[[RequestContext], Awaitable[Identity | None]]
"""Returns the verified user of a request's Authorization header; None if there is none."""


class AdminAuthentication:
    """Answers every request under the admin path ``path``, in any spelling; no such request reaches the app.

    A valid admin token is recognized before any other decision, so that no limit or block holds an operator back. Users
    whose token carries ``scope`` are operators too: ``identify`` verifies them, and ``standing`` may refuse them.
    ``pages`` are ASGI apps that need no token, by their path below the admin path.
    """

    def __init__(
        self,
        deps: AdminDeps,
        tokens: AdminTokens,
        *,
        path: str,
        scope: str | None = None,
        identify: Identify | None = None,
        standing: Standing | None = None,
        pages: Mapping[str, Any] | None = None,
        fault: Fault,
    ) -> None:
        self._deps = deps
        self._tokens = tokens
        self._prefix = path
        self._scope = scope
        self._identify = identify
        self._standing = standing
        self._pages = pages or {}
        self._fault = fault

    async def receive(self, scope: Any, ctx: RequestContext) -> Any:
        """The ASGI app that answers a request. Sets ``ctx.actor`` if an operator makes it."""
        path = NOT_A_ROUTE if ctx.place.below_admin is None else ctx.place.below_admin
        ctx.guarded, ctx.endpoint = False, self._prefix
        if path in self._pages and ctx.method in ("GET", "HEAD"):
            ctx.endpoint, ctx.open_to_all = self._prefix + path, True
            return self._pages[path]
        ctx.for_operator = True
        secure = scope.get("scheme") == "https" or not ctx.loopback_peer
        principal = await self._principal(ctx, secure=secure)
        if principal is None:
            return _unauthorized
        ctx.actor = principal.actor
        return AdminDispatch(self._deps, principal, ctx, self._fault, path=path, prefix=self._prefix, secure=secure)

    async def _principal(self, ctx: RequestContext, *, secure: bool) -> Principal | None:
        """The operator that makes a request; None for any other client. An Authorization header decides alone; without
        one the session's cookie decides."""
        lines = ctx.lines(b"authorization")
        # A session of the console.
        if not lines:
            cookie = _cookie(ctx, cookie_name(secure=secure))
            principal = self._deps.sessions.verify(cookie, ctx.address) if cookie else None
            return None if principal is None else await self._if_in_standing(principal, ctx)
        # A configured admin token. Two headers count as no token: it is not clear which one is meant.
        scheme, _, token = lines[0].strip(" \t").partition(" ")
        if len(lines) == 1 and scheme.lower() == _BEARER:
            actor = self._tokens.actor(token.strip(" "))
            if actor is not None:
                return Principal(actor=actor, address=ctx.address, session=Session(actor=actor))
        # The token of a user who has the admin scope.
        return await self._by_scope(ctx)

    async def _by_scope(self, ctx: RequestContext) -> Principal | None:
        identity = await self._identify(ctx) if self._identify is not None and self._scope is not None else None
        if identity is None:
            return None
        actor = USER_ACTOR + identity.user_id
        session, until = Session(actor=actor), identity.expires_at
        return await self._if_in_standing(
            Principal(actor=actor, address=ctx.address, session=session, until=until, identity=identity), ctx
        )

    async def _if_in_standing(self, principal: Principal, ctx: RequestContext) -> Principal | None:
        """The principal if it may act now, else None with ``ctx.operator_refusal`` set. A user must still have the
        scope, and be in good standing (Standing)."""
        identity = principal.identity
        if identity is None:
            return None if principal.actor.startswith(USER_ACTOR) else principal
        if self._standing is None or self._scope not in identity.scopes:
            return None
        ctx.operator_refusal = await self._standing.refusal(identity)
        return None if ctx.operator_refusal is not None else principal


def _cookie(ctx: RequestContext, ours: str) -> str | None:
    """The value of the cookie of this name; None unless there is exactly one."""
    pairs = [part.strip().partition("=") for line in ctx.lines(b"cookie") for part in line.split(";")]
    found = [value for name, _, value in pairs if name == ours]
    return found[0] if len(found) == 1 else None


async def _unauthorized(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - an ASGI app
    """Answer an empty 401. Not reached in practice: the check of admin access has refused such a request before."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
