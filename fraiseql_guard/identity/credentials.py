"""Finds the credentials in the head of a request: in Authorization, in the header of API keys, in a cookie, or in the
query string of an upgrade. All are returned in the form of an Authorization header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.identity.cookies import cookie_values
from fraiseql_guard.identity.page_origin import PREFLIGHTED, PageOrigin, is_own
from fraiseql_guard.identity.query_tokens import as_header, query_tokens

AUTHORIZATION: Final = b"authorization"
API_KEY_SCHEME: Final = "apikey"
"""The scheme that is put before an API key from its own header."""
_COOKIE: Final = b"cookie"
_JUDGED_BY: Final = frozenset(
    {b"content-type", b"forwarded", b"host", b"origin", b"sec-fetch-site", b"x-forwarded-host", b"x-forwarded-proto"}
)
"""Headers by which it is decided whether a page of another site may have caused the request."""
_SAFELISTED: Final = frozenset({b"", b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"})
"""Media types that a page may send without a preflight (Fetch, section 2.2.2)."""
_SIMPLE_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})


class Shown(NamedTuple):
    """The credentials in a head, each in the form of an Authorization header."""

    credentials: Sequence[str]
    ambiguous: bool = False
    """Whether several credentials differ, so that the app might use another one than the guard."""
    ambient: bool = False
    """Whether all credentials are cookies, which the browser adds by itself."""


class CredentialSources:
    """Reads the credentials of a request from the sources that the settings name.

    ``api_keys``: whether API keys are configured, so that their header is read.
    """

    __slots__ = (
        "_by_forwarded",
        "_cookie",
        "_listed",
        "_listed_for_sockets",
        "_parameter",
        "api_key_header",
        "headers",
        "plain",
        "reads",
    )

    def __init__(self, settings: Settings, *, api_keys: bool) -> None:
        self.api_key_header: Final = settings.api_key_header.encode() if api_keys else None
        self._cookie = settings.token_cookie.encode() if settings.token_cookie is not None else None
        self._parameter = settings.socket_token_parameter
        self.plain: Final = self.api_key_header is None and self._cookie is None
        """Whether Authorization is the only source for HTTP requests."""
        # A * accepts no cookie, since CORS does not combine it with credentials either.
        self._listed = frozenset(map(PageOrigin.parse, settings.cors_origins)) - {None}
        self._listed_for_sockets = self._listed | (frozenset(map(PageOrigin.parse, settings.socket_origins)) - {None})
        self._by_forwarded = settings.forwarded_header == "forwarded"
        others = {self.api_key_header, _COOKIE if self._cookie is not None else None} - {None}
        self.headers: Final = frozenset({AUTHORIZATION, *filter(None, others)})
        """Headers that may hold credentials."""
        judged_by = (_JUDGED_BY | PREFLIGHTED) if self._cookie is not None else frozenset()
        self.reads: Final = HeadReads(headers=self.headers | judged_by, credentials=self.headers)

    def of_request(self, ctx: RequestContext) -> Shown:
        """The credentials of an HTTP request."""
        lines = ctx.lines(AUTHORIZATION)
        if self.plain:
            return Shown(lines)
        own, cookies = self._api_keys(ctx), self._cookies(ctx)
        return _joined(lines, own, cookies) if own or cookies else Shown(lines)

    def of_upgrade(self, ctx: RequestContext) -> Shown:
        """The credentials of the upgrade to a WebSocket, those in its query string included: browsers cannot add a
        header to it."""
        lines = tuple(dict.fromkeys(ctx.lines(AUTHORIZATION)))
        if self._parameter is not None:
            lines = tuple(dict.fromkeys((*lines, *query_tokens(ctx.query_string, self._parameter))))
        if self.plain:
            return Shown(lines, ambiguous=len(lines) > 1)
        return _joined(lines, self._api_keys(ctx), self._cookies_of_upgrade(ctx))

    # --- API keys ----------------------------------------------------------------------------------------------------

    def _api_keys(self, ctx: RequestContext) -> list[str]:
        name = self.api_key_header
        if name is None or name not in ctx.headers:
            return []
        return [f"{API_KEY_SCHEME} {value}" for line in ctx.lines(name) if (value := line.strip(" \t"))]

    # --- cookies -----------------------------------------------------------------------------------------------------

    def _cookies(self, ctx: RequestContext) -> list[str]:
        if self._cookie is None or _COOKIE not in ctx.headers:
            return []
        found = self._values(ctx, self._cookie)
        return found if found and self._is_not_cross_site(ctx) else []

    def _cookies_of_upgrade(self, ctx: RequestContext) -> list[str]:
        """The tokens in the cookies of an upgrade, if its origin is accepted. There is no preflight before an
        upgrade."""
        if self._cookie is None or _COOKIE not in ctx.headers:
            return []
        return self._values(ctx, self._cookie) if self._comes_from(ctx, self._listed_for_sockets, own=True) else []

    @staticmethod
    def _values(ctx: RequestContext, name: bytes) -> list[str]:
        lines = [value for key, value in ctx.header_lines if key == _COOKIE]
        return [as_header(value) for value in cookie_values(lines, name)]

    def _is_not_cross_site(self, ctx: RequestContext) -> bool:
        """Whether no page of another site can have made the browser send the request (CSRF)."""
        # 1. Browsers say so themselves on secure connections (Fetch Metadata, W3C).
        sites = {value for key, value in ctx.header_lines if key == b"sec-fetch-site"}
        if sites:
            return sites <= _OWN_SITES or self._comes_from(ctx, self._listed, own=False)
        # 2. Older browsers, and all over plain HTTP, send the page's origin with all but simple GETs.
        if b"origin" in ctx.headers:
            return self._comes_from(ctx, self._listed, own=True)
        # 3. Without either header: only a request that no page can send without a preflight.
        if ctx.method not in _SIMPLE_METHODS or not PREFLIGHTED.isdisjoint(ctx.headers):
            return True
        return ctx.method == "POST" and _media_type(ctx) not in _SAFELISTED

    def _comes_from(self, ctx: RequestContext, origins: frozenset[PageOrigin | None], *, own: bool) -> bool:
        """Whether the request names its page's origin, which is one of ``origins`` or, with ``own``, that of the
        app."""
        lines = ctx.lines(b"origin")
        origin = PageOrigin.parse(lines[0]) if len(lines) == 1 else None
        return origin is not None and (
            origin in origins or (own and is_own(ctx, origin, by_forwarded=self._by_forwarded))
        )


def _joined(lines: Sequence[str], own: Sequence[str], cookies: Sequence[str]) -> Shown:
    """All credentials without repetition. A text that also stands in the header of API keys counts as an API key."""
    by_text = {_without_scheme(line): line for line in (*cookies, *lines, *own)}
    by_text.pop("", None)
    found = tuple(by_text.values())
    return Shown(found, ambiguous=len(found) > 1, ambient=bool(cookies) and not own and not any(lines))


def _without_scheme(line: str) -> str:
    """A credential without its scheme."""
    scheme, _, text = line.strip(" \t").partition(" ")
    return text.strip(" ") or ("" if scheme.lower() == "bearer" else scheme)


def _media_type(ctx: RequestContext) -> bytes:
    return ctx.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
