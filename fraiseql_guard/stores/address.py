"""Where a server is and how to greet it, read from its URL."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url

Command = tuple[str | int | float | bytes, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a path or a host and port, and how to greet it.

    ``must_be_master`` is for addresses that somebody else names, and that a failover may have made wrong.
    """

    path: str | None
    host: str
    port: int
    tls: ssl.SSLContext | None = field(repr=False)
    greeting: tuple[Command, ...] = field(repr=False)
    must_be_master: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a redis://, rediss:// or unix:// URL; ValueError (which never holds the URL) if it is none."""
        try:
            options: Mapping[str, Any] = parse_url(url)
        except ValueError:  # its text may quote a part of the password
            raise ValueError("is not the URL of a Redis") from None
        greeting: list[Command] = []
        if options.get("password"):
            user = (options["username"],) if options.get("username") else ()
            greeting.append(("AUTH", *user, options["password"]))
        if options.get("db"):
            greeting.append(("SELECT", int(options["db"])))
        return cls(
            path=options.get("path"),
            host=options.get("host") or "localhost",
            port=int(options.get("port") or 6379),
            tls=_tls(options) if options.get("connection_class") is SSLConnection else None,
            greeting=tuple(greeting),
        )

    def at(self, host: str, port: int) -> Address:
        """The same greeting for another server."""
        return replace(self, path=None, host=host, port=port)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    """The certificates that the URL names (ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs=none)."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    verify = str(options.get("ssl_cert_reqs", "required")).lower() != "none"
    context.check_hostname = verify and str(options.get("ssl_check_hostname", True)).lower() not in {"false", "0", "no"}
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
