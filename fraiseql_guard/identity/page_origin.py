"""Reads the origin of the page that sends a request, and tells whether it is the origin that the request goes to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.identity.forwarded import first_element, parameter

_NAME: Final = r"(?P<host>[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?"
_HOST: Final = re.compile(_NAME, re.ASCII)
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://" + _NAME, re.ASCII | re.IGNORECASE)
PREFLIGHTED: Final = frozenset(
    {
        b"apollo-require-preflight",
        b"graphql-require-preflight",
        b"x-apollo-operation-name",
        b"x-requested-with",
    }
)
"""Headers that a page can send only after a preflight."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PageOrigin:
    """The origin of a page: scheme, host and port (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> PageOrigin | None:
        """Parse an origin such as ``https://app.example.org`` or ``http://[::1]:8000``, in any case; None for ``null``
        and any other text."""
        found = _ORIGIN.fullmatch(text)
        host = _canonical(found["host"]) if found is not None else None
        if found is None or host is None:
            return None
        scheme = found["scheme"].lower()
        return cls(scheme, host, int(found["port"] or _DEFAULT_PORTS[scheme]))

    @property
    def at_default_port(self) -> bool:
        """Whether the port is the default port of the scheme."""
        return self.port == _DEFAULT_PORTS[self.scheme]


def is_own(ctx: RequestContext, origin: PageOrigin, *, by_forwarded: bool) -> bool:
    """Whether the origin of a page is the one that its request goes to, by scheme, host and port.

    The scheme of the request is unknown if TLS ends before the server and no trusted proxy tells: then pages of both
    schemes count as own. ``by_forwarded``: trusted proxies send Forwarded (RFC 7239).
    """
    told_scheme, told_host = _forwarded_origin(ctx, by_forwarded=by_forwarded) if ctx.trusted_peer else ("", "")
    if origin.scheme != "https" and (ctx.secure or told_scheme.lower() in ("https", "wss")):
        return False
    hosts = [told_host] if told_host else ctx.lines(b"host")
    found = _HOST.fullmatch(hosts[0].strip()) if len(hosts) == 1 else None
    if found is None or _canonical(found["host"]) != origin.host:
        return False
    return origin.port == int(found["port"]) if found["port"] else origin.at_default_port


def _forwarded_origin(ctx: RequestContext, *, by_forwarded: bool) -> tuple[str, str]:
    """The scheme and the host that the browser asked for, by the proxy nearest to it, whose text comes first in a
    header; empty where the proxy does not tell."""
    element = first_element(ctx.headers.get(b"forwarded", b"")) if by_forwarded else ""
    scheme, host = parameter(element, "proto"), parameter(element, "host")
    return scheme or _first(ctx, b"x-forwarded-proto"), host or _first(ctx, b"x-forwarded-host")


def _first(ctx: RequestContext, name: bytes) -> str:
    return ctx.header(name).partition(",")[0].strip()


def _canonical(host: str) -> str | None:
    """A host in lower case, or an IPv6 address in brackets in its short form; None for a malformed address."""
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return None
