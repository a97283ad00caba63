"""How Redis is deployed, read from its URL: one server, Sentinels and a master's name, or the nodes of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fraiseql_guard.stores.address import Address

SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379

_SEVERAL: Final = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@]*)@)?([^@/?#]+)(/[^?#]*)?(?:\?([^#]*))?")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The servers that a URL names.

    ``seeds`` are the server itself, the Sentinels to ask for the master, or the first nodes of the cluster; ``server``
    is how to greet those that hold keys, wherever they are found to be.
    """

    kind: Literal["standalone", "sentinel", "cluster"]
    seeds: tuple[Address, ...]
    server: Address
    master: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Deployment:
        """Read a URL; ValueError (which never holds the URL) if it is none of these.

        ``redis://``, ``rediss://`` and ``unix://`` as redis-py reads them;
        ``redis+sentinel://[user:password@]host[:port],.../master_name[/database]``, where ``sentinel_username`` and
        ``sentinel_password`` in the query are for the Sentinels; ``redis+cluster://[user:password@]host[:port],...``.
        ``rediss+`` in either is TLS with every server, with the same ``ssl_*`` options.
        """
        match = _SEVERAL.fullmatch(url)
        if match is None:
            address = Address.parse(url)
            return cls("standalone", (address,), address)
        scheme, kind, user, places, path, query = (part or "" for part in match.groups())
        options = dict(parse_qsl(query, keep_blank_values=True))
        sentinel_user = _user_of(options.pop("sentinel_username", ""), options.pop("sentinel_password", ""))
        names = [unquote(name) for name in path.strip("/").split("/") if name]
        if kind == "cluster":
            if names not in ([], ["0"]):
                raise ValueError("is the URL of a Redis cluster with a database other than 0, the only one there is")
            seeds = tuple(_address(scheme, user, place, "0", options, REDIS_PORT) for place in places.split(","))
            return cls("cluster", seeds, seeds[0])
        if not 1 <= len(names) <= 2 or (not names[-1].isdecimal() and len(names) == 2):
            raise ValueError("does not name the master behind the Sentinels: /master_name or /master_name/database")
        database = names[1] if len(names) == 2 else "0"
        seeds = tuple(
            _address(scheme, sentinel_user, place, "0", options, SENTINEL_PORT) for place in places.split(",")
        )
        server = _address(scheme, user, places.split(",")[0], database, options, REDIS_PORT)
        return cls("sentinel", seeds, replace(server, must_be_master=True), names[0])


def _user_of(name: str, password: str) -> str:
    return f"{quote(name, safe='')}:{quote(password, safe='')}" if password else ""


def _address(scheme: str, user: str, place: str, database: str, options: dict[str, str], port: int) -> Address:
    host, _, number = place.partition("]") if place.startswith("[") else place.partition(":")
    if not host.strip("[ "):
        raise ValueError("is the URL of several servers, one of which has no host")
    if not number.strip(":"):
        place = f"{place.rstrip(':')}:{port}"
    query = f"?{urlencode(options)}" if options else ""
    return Address.parse(f"{scheme}://{user}{'@' if user else ''}{place}/{database}{query}")
