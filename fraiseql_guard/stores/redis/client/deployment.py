"""How Redis is deployed: one server, Sentinels and a master's name, or the nodes of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from fraiseql_guard.core.redis_urls import Kind, RedisUrl
from fraiseql_guard.stores.redis.client.address import REDIS_PORT, Address, login, server_of

SENTINEL_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class Deployment:
    """The servers that a URL names.

    ``seeds`` are the server itself, the Sentinels to ask for the master, or the first nodes of the cluster; ``server``
    has the greeting for the servers that hold keys; ``master`` is the name that Sentinels know it by.
    """

    kind: Kind
    seeds: tuple[Address, ...]
    server: Address
    master: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Deployment:
        """The deployment of a URL in one of the forms of redis_urls.ACCEPTED; ValueError (which never holds the URL)
        for any other.

        ``sentinel_username`` and ``sentinel_password`` in the query are for the Sentinels. ``rediss+`` is TLS with
        every server, with the same ``ssl_*`` options.
        """
        url = RedisUrl.parse(text)
        server = server_of(url)
        # Sentinels have a login of their own, and name the server, which has to be the master.
        if url.kind == "sentinel":
            greeting = login(url.sentinel_user, url.sentinel_password)
            sentinel = replace(server, greeting=greeting)
            seeds = tuple(sentinel.at(host, port or SENTINEL_PORT) for host, port in url.places)
            return cls("sentinel", seeds, replace(server, must_be_master=True), url.master)
        if url.kind == "cluster":
            return cls("cluster", tuple(server.at(host, port or REDIS_PORT) for host, port in url.places), server)
        return cls("standalone", (server,), server)
