"""The address of a server, and the commands that a connection to it begins with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import Final

from fraiseql_guard.core.redis_urls import RedisUrl
from fraiseql_guard.stores.redis.client.commands import Command

REDIS_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket's path, or a host and port, with the ``greeting``: the commands that a connection begins with.

    ``tls`` is None for a plain connection. ``must_be_master`` marks an address that a Sentinel has named, and that a
    failover may have made wrong.
    """

    path: str | None
    host: str
    port: int
    tls: ssl.SSLContext | None = field(repr=False)
    greeting: tuple[Command, ...] = field(repr=False)
    must_be_master: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address of a redis://, rediss:// or unix:// URL; ValueError (which never holds the URL) for any other."""
        return server_of(RedisUrl.parse(url))

    def at(self, host: str, port: int) -> Address:
        """Another server with the same greeting."""
        return replace(self, path=None, host=host, port=port)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def server_of(url: RedisUrl) -> Address:
    """The first server that a URL names, with the greeting for servers that hold keys."""
    host, port = url.places[0] if url.places else ("localhost", None)
    selection: tuple[Command, ...] = (("SELECT", url.database),) if url.database else ()
    greeting = (*login(url.user, url.password), *selection)
    return Address(path=url.path, host=host, port=port or REDIS_PORT, tls=url.tls, greeting=greeting)


def login(user: str, password: str) -> tuple[Command, ...]:
    """The command that authenticates; () without a password."""
    if not password:
        return ()
    # A server with one password for all (requirepass) needs no user.
    return (("AUTH", user, password),) if user else (("AUTH", password),)
