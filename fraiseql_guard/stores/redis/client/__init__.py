"""A client of Redis: one server, a master behind Sentinels or a cluster, with one multiplexed connection to each.

:func:`open_client` makes a :class:`RedisClient` with three methods: ``call``, ``call_all`` and ``aclose``. The modules
of this package are private; other code imports from here.
"""

from __future__ import annotations

from fraiseql_guard.stores.redis.client.client import RedisClient, open_client, servers_of
from fraiseql_guard.stores.redis.client.commands import Command, Question, Script, ScriptCall, pack

__all__ = [
    "Command",
    "Question",
    "RedisClient",
    "Script",
    "ScriptCall",
    "open_client",
    "pack",
    "servers_of",
]
