"""Checks a Redis when a guard starts: whether it answers, takes writes, is new enough, and does not evict keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.stores.protocol import StoreError
from fraiseql_guard.stores.redis.client import RedisClient

ANSWER_SECONDS: Final = 2.0
"""No request waits for this check, so a slow server has time to answer."""
OLDEST: Final = (6, 2)

_LINE: Final = re.compile(r"^(redis_version|maxmemory_policy):(\S+)\s*$", re.MULTILINE)


async def check_redis(client: RedisClient, probe: str) -> list[str]:
    """Warnings about the servers of a deployment, each once; [] if all is well. Never raises StoreError.

    ``probe`` is a key to write to, which expires after a second.
    """
    # A write first: without it nothing else matters.
    try:
        await client.call(probe, ("SET", probe, 1, "PX", 1000), timeout_seconds=ANSWER_SECONDS)
    except StoreError as error:
        return [f"Redis cannot be used for now: {error}{_remedy(error.detail)}"]
    try:
        answers = await client.call_all(("INFO",), timeout_seconds=ANSWER_SECONDS)
    except StoreError as error:
        return [f"Redis tells nothing about its settings: {error}"]
    sentences = (sentence for answer in answers for sentence in read_info(answer.decode(errors="replace")))
    # Servers of one configuration give the same warnings: each once.
    return list(dict.fromkeys(sentences))


def read_info(text: str) -> list[str]:
    """Warnings from one server's answer to INFO: it is too old, or evicts keys."""
    facts = dict(_LINE.findall(text))
    sentences = []
    version, policy = facts.get("redis_version", ""), facts.get("maxmemory_policy", "noeviction")
    # Major and minor number alone: 6.2.14 and 7.0-rc1 are both in use.
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST:
        sentences.append(f"Redis {version} is older than 6.2, the oldest version that is supported.")
    if policy != "noeviction":
        sentences.append(
            f"Redis may evict limits and sanctions when its memory is full (maxmemory-policy {policy}); "
            "with noeviction it says that it is full instead."
        )
    return sentences


def _remedy(detail: str) -> str:
    """What to change in the URL, in parentheses, where an error shows what is wrong with it; else ""."""
    remedy = next((words for part, words in _REMEDIES.items() if part in detail), "")
    return f" ({name_of('redis_url')} {remedy})" if remedy else ""


_REMEDIES: Final[Mapping[str, str]] = {
    "no Sentinel answers: NOAUTH": "holds no password for the Sentinels: ?sentinel_password=...",
    "no Sentinel answers: WRONGPASS": "holds a wrong password for the Sentinels: ?sentinel_password=...",
    "unknown command 'SENTINEL'": "names a server that is no Sentinel",
    "know no master of this name": "names a master that these Sentinels do not watch",
    "NOAUTH": "holds no password, and this server needs one: redis://:password@host",
    "WRONGPASS": "holds a user or a password that this server does not accept",
    "called without any password": "holds a password, and this server has none",
    "NOPERM": "holds a user who may not do what limits need",
    "DB index is out of range": "names a database that this server does not have",
    "cluster support disabled": "names a server that is in no cluster: redis://",
    "MOVED": "names a node of a cluster: redis+cluster://",
    "unknown command 'SET'": "names a Sentinel, it seems: redis+sentinel://host/master_name",
}
