"""Refuses HTTP requests in a form that GraphQL may not come in: methods, media types, encodings, browsers' requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import (
    BAD_REQUEST,
    CROSS_SITE_REQUEST,
    METHOD_NOT_ALLOWED,
    UNSUPPORTED_ENCODING,
    UNSUPPORTED_MEDIA_TYPE,
    WEBSOCKET_REFUSED,
    Protection,
)
from fraiseql_guard.graphql.http.media_types import preference
from fraiseql_guard.identity.page_origin import PREFLIGHTED

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_JSON: Final = frozenset({"application/json", "application/graphql-response+json"})
_SCHEMES: Final = (b"bearer ", b"apikey ")
"""Schemes of Authorization that a page can send only after a preflight. A browser adds Basic credentials by itself."""
_UPLOAD: Final = "multipart/form-data"
_NO_UPLOADS: Final = f"Uploads need {name_of('multipart')}=true."
_PREFLIGHT_HEADERS: Final = frozenset({b"apollo-require-preflight", b"graphql-require-preflight", b"x-requested-with"})
"""Headers that prove a preflight: without them, a page of any site can make a browser send a form."""
_ALLOW: Final = ((b"allow", b"GET, HEAD, POST, OPTIONS"),)
_READS: Final = HeadReads(
    headers=PREFLIGHTED
    | {
        b"accept",
        b"access-control-request-method",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
    }
)
_SINGLE: Final[Mapping[bytes, str]] = {b"content-type": "Content-Type", b"content-encoding": "Content-Encoding"}


class HttpRequestForm:
    """Decides about requests on GraphQL paths by their head, and recognises preflights and GraphiQL pages.

    ``sockets`` is the protection in whose name and mode WebSockets are refused, if they are. ``api_key_header`` is the
    header of API keys, None without them: a page can send it only after a preflight.
    """

    protection: Final = Protection.QUERY_LIMITS

    def __init__(
        self,
        settings: Settings,
        *,
        sockets: Protection = Protection.QUERY_LIMITS,
        api_key_header: bytes | None = None,
    ) -> None:
        own = frozenset() if api_key_header is None else frozenset({api_key_header})
        self._preflighted = PREFLIGHTED | own
        self.reads: Final = HeadReads.union((_READS, HeadReads(headers=own)))
        self._uploads = settings.multipart
        self._sockets = sockets
        self._refuses_sockets = settings.sockets == "refuse"

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse a request that could not be read, or that a foreign page could send in its visitor's name."""
        if ctx.socket:
            return self._socket(ctx)
        ctx.cross_site_simple = _cross_site_simple(ctx, self._preflighted)
        if not ctx.guarded:
            return None
        if ctx.method not in _METHODS:
            return Denial(METHOD_NOT_ALLOWED, headers=_ALLOW, detail=f"{ctx.method} is not accepted")
        # Requests that browsers make by themselves: preflights, pages, cross-site requests.
        if ctx.method == "OPTIONS":
            return self._preflight(ctx)
        if self._is_page(ctx):
            ctx.page, ctx.operation = True, False
            return None
        if ctx.cross_site_simple:
            return self._repeated_header(ctx) or Denial(CROSS_SITE_REQUEST, tokens=0)  # not the visitor's doing
        return self._repeated_header(ctx) or self._encoding(ctx) or self._media_type(ctx)

    def _socket(self, ctx: RequestContext) -> Denial | None:
        """Refuse a WebSocket on a GraphQL path if none is accepted. SocketOrigin decides about all others."""
        closed = ctx.guarded and self._refuses_sockets
        return Denial(WEBSOCKET_REFUSED, protection=self._sockets) if closed else None

    @staticmethod
    def _preflight(ctx: RequestContext) -> Denial | None:
        if b"origin" not in ctx.headers or b"access-control-request-method" not in ctx.headers:
            return Denial(METHOD_NOT_ALLOWED, headers=_ALLOW, detail="not a CORS preflight")
        ctx.preflight, ctx.operation = True, False
        return None

    @staticmethod
    def _is_page(ctx: RequestContext) -> bool:
        """Whether a browser asks for the GraphiQL page: there is no query in the request that the app could run."""
        has_body = ctx.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in ctx.headers
        return (
            ctx.method in ("GET", "HEAD")
            and not ctx.query_string
            and not has_body
            and b"text/" in ctx.headers.get(b"accept", b"").lower()
            and _wants_page(", ".join(ctx.lines(b"accept")))
        )

    @staticmethod
    def _repeated_header(ctx: RequestContext) -> Denial | None:
        """The refusal of a header that is given twice, which hosts read differently."""
        if len(ctx.headers) == len(ctx.header_lines):
            return None  # no header is given twice
        for name, shown in _SINGLE.items():
            if name in ctx.headers and sum(line == name for line, _ in ctx.header_lines) > 1:
                return Denial(BAD_REQUEST, detail=f"{shown} is given more than once")
        return None

    @staticmethod
    def _encoding(ctx: RequestContext) -> Denial | None:
        if b"content-encoding" not in ctx.headers:
            return None
        encoding = ctx.header(b"content-encoding").strip().lower()
        return Denial(UNSUPPORTED_ENCODING) if encoding not in ("", "identity") else None

    def _media_type(self, ctx: RequestContext) -> Denial | None:
        if ctx.method != "POST" or _media_type(ctx) in _JSON:
            return None
        if self._uploads and _media_type(ctx) == _UPLOAD:
            ctx.upload = not _PREFLIGHT_HEADERS.isdisjoint(ctx.headers)
            detail = "uploads need the header graphql-require-preflight"
            return None if ctx.upload else Denial(CROSS_SITE_REQUEST, detail=detail)
        return Denial(
            UNSUPPORTED_MEDIA_TYPE,
            detail=_NO_UPLOADS if _media_type(ctx) == _UPLOAD else "",
            headers=((b"accept-post", b"application/json"),),
        )


def _wants_page(accept: str) -> bool:
    """Whether Accept names HTML, and not only ``*/*``."""
    wanted = preference(accept, "text/html")
    return wanted.weight > 0 and wanted.precision > 1


def _cross_site_simple(ctx: RequestContext, preflighted: frozenset[bytes]) -> bool:
    """Whether a page of another site can send this without a preflight (Fetch Metadata, W3C)."""
    if ctx.headers.get(b"sec-fetch-site") != b"cross-site" or not preflighted.isdisjoint(ctx.headers):
        return False
    if ctx.headers.get(b"authorization", b"")[:7].lower() in _SCHEMES:
        return False
    if ctx.method == "POST" and _media_type(ctx) in _JSON:
        return False  # a page sends JSON only after a preflight
    return ctx.method in _METHODS  # methods of simple requests, and of preflights


def _media_type(ctx: RequestContext) -> str:
    if ctx.headers.get(b"content-type") == b"application/json":
        return "application/json"  # nearly always
    return ctx.header(b"content-type").partition(";")[0].strip().lower()
