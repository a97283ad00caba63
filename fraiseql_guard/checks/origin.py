"""Refuses WebSockets that a page of a foreign origin opens in its visitor's name.

A browser lets every page open a WebSocket to every server, does not ask the server before (CORS plays no part), and
sends the visitor's cookies along. It names the page's origin, which no page can change (RFC 6455, section 10.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Mode, Settings, name_of
from fraiseql_guard.core.signals import CROSS_SITE_REQUEST, Protection
from fraiseql_guard.identity.page_origin import PageOrigin, is_own
from fraiseql_guard.identity.query_tokens import query_tokens

_ALL: Final = "*"
_SHOWN_CHARACTERS: Final = 100
_FORBIDDEN: Final = 403
"""RFC 6455, section 4.2.2, for an origin that is not accepted."""


class SocketOrigin:
    """Checks the Origin of WebSocket upgrades: on GraphQL paths always, on other paths if origins are configured for
    sockets.

    ``modes`` has every protection; ``protection`` is the protection in whose name and mode upgrades are refused.
    """

    def __init__(self, settings: Settings, modes: Mapping[Protection, Mode], protection: Protection) -> None:
        self.protection: Final = protection
        listed = (*settings.socket_origins, *settings.cors_origins)
        self._all = _ALL in listed
        self._listed = frozenset(PageOrigin.parse(each) for each in listed) - {None}
        self._judges_all_paths = bool(settings.socket_origins)
        self._parameter = settings.socket_token_parameter
        self._by_forwarded = settings.forwarded_header == "forwarded"
        enforces_tokens = modes[Protection.AUTH] is Mode.ENFORCE
        self._needs_token = enforces_tokens and settings.auth_required and not settings.public_root_fields

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse the upgrade of a foreign page, unless it carries nothing of the visitor's that the page could
        misuse."""
        origins = ctx.lines(b"origin")
        if not origins or self._all or self._is_known(ctx, origins):
            return None
        # The page acts, not its visitor. No page can send a Bearer token in a header.
        ctx.cross_site_simple = ctx.headers.get(b"authorization", b"")[:7].lower() != b"bearer "
        if not (ctx.guarded or self._judges_all_paths):
            return None
        if ctx.guarded and self._needs_token and not self._carries_credentials(ctx):
            return None  # only a token in the first message opens anything, and the page must own it
        shown = ", ".join(origins)[:_SHOWN_CHARACTERS]
        detail = f"{shown} is not among {name_of('socket_origins')}"
        return Denial(
            CROSS_SITE_REQUEST, detail=detail, tokens=0, protection=self.protection, answered_status=_FORBIDDEN
        )

    def _is_known(self, ctx: RequestContext, origins: Sequence[str]) -> bool:
        origin = PageOrigin.parse(origins[0]) if len(origins) == 1 else None
        return origin is not None and (origin in self._listed or is_own(ctx, origin, by_forwarded=self._by_forwarded))

    def _carries_credentials(self, ctx: RequestContext) -> bool:
        """Whether the upgrade carries credentials: a cookie or the like that the browser has added, or a token in the
        query string."""
        if b"cookie" in ctx.headers or b"authorization" in ctx.headers:
            return True
        return self._parameter is not None and bool(query_tokens(ctx.query_string, self._parameter))
