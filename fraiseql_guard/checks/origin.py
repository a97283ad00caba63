"""Refuses WebSockets that a page of a foreign origin opens in its visitor's name.

A browser lets every page open a WebSocket to every server, does not ask the server before (CORS plays no part), and
sends the visitor's cookies along. It names the page's origin, which no page can change (RFC 6455, section 10.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Mode, Settings, name_of
from fraiseql_guard.core.signals import CROSS_SITE_REQUEST, Protection
from fraiseql_guard.identity.forwarded import first_element, parameter
from fraiseql_guard.identity.query_tokens import query_tokens

_NAME: Final = r"(?P<host>[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?"
_HOST: Final = re.compile(_NAME, re.ASCII)
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://" + _NAME, re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ALL: Final = "*"
_SHOWN_CHARACTERS: Final = 100
_FORBIDDEN: Final = 403
"""RFC 6455, section 4.2.2, for an origin that is not accepted."""


@dataclass(frozen=True, slots=True)
class PageOrigin:
    """Where a page comes from (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> PageOrigin | None:
        """That of ``https://app.example.org`` or ``http://[::1]:8000``, in any case; None for ``null`` and whatever is
        no origin of the web."""
        found = _ORIGIN.fullmatch(text)
        host = _canonical(found["host"]) if found is not None else None
        if found is None or host is None:
            return None
        scheme = found["scheme"].lower()
        return cls(scheme, host, int(found["port"] or _DEFAULT_PORTS[scheme]))

    @property
    def at_default_port(self) -> bool:
        """Whether its port is that of its scheme."""
        return self.port == _DEFAULT_PORTS[self.scheme]


class SocketOrigin:
    """Judges the Origin of upgrades: on GraphQL paths always, elsewhere where origins are configured for sockets.

    ``modes`` has every protection; ``protection`` is the one in whose name and mode it refuses.
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
        """Refuse a foreign page, unless there is nothing of its visitor's that it could make use of."""
        origins = ctx.lines(b"origin")
        if not origins or self._all or self._is_known(ctx, origins):
            return None
        # What it does is not its visitor's doing. No page can send a Bearer token in a header.
        ctx.cross_site_simple = ctx.headers.get(b"authorization", b"")[:7].lower() != b"bearer "
        if not (ctx.guarded or self._judges_all_paths):
            return None
        if ctx.guarded and self._needs_token and not self._carries_credentials(ctx):
            return None  # only a token of the page's own opens anything, which comes with the first message
        shown = ", ".join(origins)[:_SHOWN_CHARACTERS]
        detail = f"{shown} is not among {name_of('socket_origins')}"
        return Denial(
            CROSS_SITE_REQUEST, detail=detail, tokens=0, protection=self.protection, answered_status=_FORBIDDEN
        )

    def _is_known(self, ctx: RequestContext, origins: Sequence[str]) -> bool:
        origin = PageOrigin.parse(origins[0]) if len(origins) == 1 else None
        return origin is not None and (origin in self._listed or self._is_own(ctx, origin))

    def _is_own(self, ctx: RequestContext, origin: PageOrigin) -> bool:
        """Whether the page comes from the host that it opens a socket to.

        The scheme is often unknown: where TLS ends before the server, and nothing tells so that is believed, a page of
        either scheme may be our own.
        """
        told_scheme, told_host = self._told(ctx) if ctx.trusted_peer else ("", "")
        if origin.scheme != "https" and (ctx.secure or told_scheme.lower() in ("https", "wss")):
            return False
        hosts = [told_host] if told_host else ctx.lines(b"host")
        found = _HOST.fullmatch(hosts[0].strip()) if len(hosts) == 1 else None
        if found is None or _canonical(found["host"]) != origin.host:
            return False
        return origin.port == int(found["port"]) if found["port"] else origin.at_default_port

    def _told(self, ctx: RequestContext) -> tuple[str, str]:
        """The scheme and the host that the browser has asked for, as the proxy nearest to it says: each appends to the
        right. ``""`` for what it does not say."""
        element = first_element(ctx.headers.get(b"forwarded", b"")) if self._by_forwarded else ""
        scheme, host = parameter(element, "proto"), parameter(element, "host")
        return scheme or _first(ctx, b"x-forwarded-proto"), host or _first(ctx, b"x-forwarded-host")

    def _carries_credentials(self, ctx: RequestContext) -> bool:
        """Whether the browser has added something by itself, or the page a token that it may have been given."""
        if b"cookie" in ctx.headers or b"authorization" in ctx.headers:
            return True
        return self._parameter is not None and bool(query_tokens(ctx.query_string, self._parameter))


def _first(ctx: RequestContext, name: bytes) -> str:
    return ctx.header(name).partition(",")[0].strip()


def _canonical(host: str) -> str | None:
    """A host as it is compared: in lower case, an IPv6 address in its short form. None for what is none."""
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return None
