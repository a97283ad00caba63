"""The door of the operator's API: which requests are for it, and who comes in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.place import NOT_A_ROUTE
from fraiseql_guard.operations.http.dispatch import AdminDispatch, Fault
from fraiseql_guard.operations.http.request import AdminDeps
from fraiseql_guard.operations.http.sessions import Session, Visitor, cookie_name
from fraiseql_guard.operations.http.standing import Standing
from fraiseql_guard.operations.http.tokens import AdminTokens

USER_ACTOR: Final = "user:"
"""Before the sub of a token that has the scope; no name of an admin token has a colon."""
_BEARER: Final = "bearer"

Identify = Callable[[RequestContext], Awaitable[Identity | None]]
"""The verified user of a request's Authorization header."""


class AdminAuthentication:
    """Answers for everything under ``path``, however that is written: none of it ever reaches the app.

    A right token is known before anything else is decided, so that nothing slows or blocks it. ``scope`` makes users
    operators that ``identify`` verifies, as long as ``standing`` says nothing against them. ``pages`` are ASGI apps
    that answer everybody, by their path below the admin path.
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
        """The ASGI app that answers a request. Sets ``ctx.actor`` if an operator asks."""
        path = NOT_A_ROUTE if ctx.place.below_admin is None else ctx.place.below_admin
        ctx.guarded, ctx.endpoint = False, self._prefix
        if path in self._pages and ctx.method in ("GET", "HEAD"):
            ctx.endpoint, ctx.open_to_all = self._prefix + path, True
            return self._pages[path]
        ctx.for_operator = True
        secure = scope.get("scheme") == "https" or not ctx.loopback_peer
        visitor = await self._visitor(ctx, secure=secure)
        if visitor is None:
            return _nobody
        ctx.actor = visitor.actor
        return AdminDispatch(self._deps, visitor, ctx, self._fault, path=path, prefix=self._prefix, secure=secure)

    async def _visitor(self, ctx: RequestContext, *, secure: bool) -> Visitor | None:
        """An Authorization header decides alone; without one a session's cookie does."""
        lines = ctx.lines(b"authorization")
        if not lines:
            cookie = _cookie(ctx, cookie_name(secure=secure))
            visitor = self._deps.sessions.visitor(cookie, ctx.address) if cookie else None
            return None if visitor is None else await self._still(visitor, ctx)
        scheme, _, token = lines[0].strip(" \t").partition(" ")
        if len(lines) == 1 and scheme.lower() == _BEARER:
            actor = self._tokens.actor(token.strip(" "))
            if actor is not None:
                return Visitor(actor=actor, address=ctx.address, session=Session(actor=actor))
        return await self._by_scope(ctx)

    async def _by_scope(self, ctx: RequestContext) -> Visitor | None:
        identity = await self._identify(ctx) if self._identify is not None and self._scope is not None else None
        if identity is None:
            return None
        actor = USER_ACTOR + identity.user_id
        session, until = Session(actor=actor), identity.expires_at
        return await self._still(
            Visitor(actor=actor, address=ctx.address, session=session, until=until, identity=identity), ctx
        )

    async def _still(self, visitor: Visitor, ctx: RequestContext) -> Visitor | None:
        """A visitor who may come in now: a user has the scope, and nothing has happened to them meanwhile."""
        identity = visitor.identity
        if identity is None:
            return None if visitor.actor.startswith(USER_ACTOR) else visitor
        if self._standing is None or self._scope not in identity.scopes:
            return None
        ctx.operator_refusal = await self._standing.refusal(identity)
        return None if ctx.operator_refusal is not None else visitor


def _cookie(ctx: RequestContext, ours: str) -> str | None:
    """Our cookie, if there is exactly one."""
    pairs = [part.strip().partition("=") for line in ctx.lines(b"cookie") for part in line.split(";")]
    found = [value for name, _, value in pairs if name == ours]
    return found[0] if len(found) == 1 else None


async def _nobody(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - an ASGI app
    """Never reached: a gate has refused. If it were, it says nothing."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
