"""Checks the first message of a GraphQL WebSocket, which identifies the client, before the app receives it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from fraiseql_guard.asgi.decisions import apply_mode
from fraiseql_guard.asgi.finish import record_outcome, refusal_error
from fraiseql_guard.asgi.pipeline import check_caller, settle
from fraiseql_guard.asgi.sockets import dialects
from fraiseql_guard.asgi.sockets.credentials import (
    AmbiguousTokenError,
    SocketUser,
    later,
    show_user,
    token_of,
    with_token,
)
from fraiseql_guard.asgi.sockets.link import Link
from fraiseql_guard.asgi.sockets.registry import Ending, LiveConnection
from fraiseql_guard.checks.authentication import refuse
from fraiseql_guard.checks.socket_room import Stage
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.signals import (
    AMBIGUOUS_TOKEN,
    BLOCKED,
    UNAUTHENTICATED,
    ClosingReason,
    FailureReason,
    PolicyName,
)

_GUESSED: Final = frozenset({FailureReason.INVALID_TOKEN, FailureReason.INVALID_SIGNATURE})
"""Failures for which a client should not come back: the same token would be one more offence."""
_OTHER_USER: Final = "The token is another user's than that of the upgrade."
_CLOSED_FOR: Final = {429: ClosingReason.FLOOD, 503: ClosingReason.OVERLOAD}
_CLIENT_ERROR: Final = 400


class Initialization:
    """Verifies the token in one socket's initialization, and shows its user to the app."""

    __slots__ = ("_connection", "_link", "_user")

    def __init__(self, link: Link, connection: LiveConnection) -> None:
        self._link = link
        self._connection = connection
        self._user: SocketUser | None = None  # made where the guard authenticates

    def show(self) -> None:
        """Hand the app the user that the head of the upgrade has identified, if any."""
        if self._link.runtime.authenticates:
            self._show(self._link.ctx.identity)

    def _show(self, identity: Identity | None) -> None:
        user = self._user = self._user or SocketUser()
        show_user(self._link.scope, user, identity)

    async def passes(self, payload: Any, within: RequestContext | None) -> bool:
        """Check an initialization: True if the app may receive it; False if it is refused and the socket is being
        ended."""
        link, began_at = self._link, time.monotonic()
        runtime, ctx = link.runtime, link.child(operation=True, within=within)
        denial, token = await self._decide(ctx, payload)
        seconds = time.monotonic() - began_at
        if denial is not None:
            link.refused(ctx, denial, seconds)
            error = refusal_error(runtime, ctx, denial)
            link.end(_ending(denial), first=link.dialect.connection_error(error))
            return False
        self._adopt(ctx, token)
        runtime.tell(record_outcome, runtime, link.scope, ctx, seconds)
        return True

    async def _decide(self, ctx: RequestContext, payload: Any) -> tuple[Denial | None, str | None]:
        """The refusal in force, and the token in the payload; None for either that is missing."""
        link = self._link
        runtime = link.runtime
        token: str | None = None
        if runtime.authenticates:
            try:
                token = token_of(payload, runtime.settings.socket_token_keys)
            except AmbiguousTokenError:
                ambiguous = apply_mode(runtime, ctx, Denial(AMBIGUOUS_TOKEN, tokens=0))
                if ambiguous is not None:
                    return ambiguous, None
        known = link.ctx.identity
        if token is None and known is not None:  # the head has identified the caller
            ctx.operation = False
            return await settle(runtime, ctx), None
        if token is not None:
            ctx.header_lines, ctx.credentials = with_token(ctx.header_lines, token), (f"Bearer {token}",)
        ctx.identify(None)
        return await check_caller(runtime, ctx, lambda denial: self._judge(ctx, known, token, denial)), token

    def _judge(
        self, ctx: RequestContext, known: Identity | None, token: str | None, denial: Denial | None
    ) -> Denial | None:
        """The refusal in force by the socket's other facts (its known user, its room), before the store is asked."""
        ctx.operation = False  # it asks for no operation: charge it as any request
        if denial is not None:
            return denial if token is None else self._spared(ctx, denial, token)
        return apply_mode(self._link.runtime, ctx, self._contradiction(ctx, known) or self._take_room(ctx))

    def _contradiction(self, ctx: RequestContext, known: Identity | None) -> Denial | None:
        if ctx.token_pending and ctx.token_failure is FailureReason.TOKEN_EXPIRED:
            ctx.token_pending = False
            return refuse(FailureReason.TOKEN_EXPIRED)  # else it would go on anonymously, without ever noticing
        if known is not None and ctx.identity is not None and ctx.identity.subject != known.subject:
            return Denial(UNAUTHENTICATED, detail=_OTHER_USER)
        return None

    def _take_room(self, ctx: RequestContext) -> Denial | None:
        """Exchange the socket's place among the uninitialized for one of its caller's; the refusal if there is none."""
        link = self._link
        before = link.ctx.subject
        link.ctx.subject = ctx.subject
        stage = Stage.ANONYMOUS if ctx.identity is None else Stage.VERIFIED
        denial = link.runtime.socket_room.take(link.ctx, stage)
        link.ctx.subject = before
        return denial

    def _spared(self, ctx: RequestContext, denial: Denial, token: str) -> Denial:
        """``denial``, as no further offence if the same token was refused a moment ago: an open page sends it again and
        again."""
        if denial.offence is not PolicyName.BRUTE_FORCE:
            return denial
        if not self._link.runtime.repeated_tokens.comes_again(ctx.address_subject, token):
            return denial
        return replace(denial, offence=None)

    def _adopt(self, ctx: RequestContext, token: str | None) -> None:
        """Make the verified caller that of the socket."""
        link, socket = self._link, self._link.ctx
        found = ctx.identity
        if found is not None:
            known = socket.identity
            kept = later(known, found)
            if token is not None and kept is not known:
                socket.credentials = ctx.credentials
            socket.identify(replace(kept, fresh=False))
        link.use_head(socket.header_lines if found is None else ctx.header_lines)
        socket.keyed = ctx.keyed
        socket.buckets, socket.credit = ctx.buckets, None  # what guards further inside need not charge again
        socket.token_failure, socket.token_pending = ctx.token_failure, ctx.token_pending
        runtime = link.runtime
        runtime.live.add(self._connection)
        if runtime.authenticates:
            self._show(socket.identity)


def _ending(denial: Denial) -> Ending:
    """The ending for a refusal: final where a retry does not help, with a request for a fresh token where one helps,
    and temporary where waiting helps."""
    code, status = denial.code, denial.status
    if code is UNAUTHENTICATED:
        closing_code = dialects.UNAUTHORIZED if denial.reason in _GUESSED else dialects.FORBIDDEN
        return Ending(ClosingReason.UNAUTHENTICATED, code, code.name, closing_code)
    if code is BLOCKED:
        return Ending(ClosingReason.BLOCKED, code, code.name, dialects.FORBIDDEN)
    if status == _CLIENT_ERROR:
        return Ending(ClosingReason.PROTOCOL, code, code.name, dialects.INVALID)
    return Ending(_CLOSED_FOR.get(status, ClosingReason.OVERLOAD), code, code.name, dialects.UNAVAILABLE)
