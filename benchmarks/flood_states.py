"""What an attack has left in Redis before the flood begins: very many sanctions, or entries that are none of ours."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import redis

from fraiseql_guard.context import Sanction, Subject
from fraiseql_guard.identity.networks import parse_address, subject_of
from fraiseql_guard.settings import Settings
from fraiseql_guard.signals import PolicyName
from fraiseql_guard.stores import open_store
from fraiseql_guard.stores.key_families import shared_keys
from fraiseql_guard.stores.namespace import Namespace

SANCTIONED = 100_000
_AT_ONCE = 200
_SANCTION_SECONDS = 3_600.0
_JUNK = b"[" * 20_000


class _Failures:
    """Tells the store's failures by ending the benchmark: without the state its row would mean nothing."""

    def store_failed(self, reason: str, detail: str, breaker_open: bool) -> None:
        raise SystemExit(f"the sanctions cannot be set: {reason} {detail}")

    def store_fallback(self, policy: str) -> None:
        raise SystemExit(f"the sanctions cannot be set: {policy} was decided without Redis")

    def store_unreadable(self, family: object, detail: str, first: bool) -> None:
        pass

    def store_recovered(self, outage_seconds: float) -> None:
        pass


def sanctioned() -> Iterator[str]:
    """The addresses of :func:`sanction_many`, in turn."""
    return itertools.cycle([_address(number) for number in range(SANCTIONED)])


def sanction_many(url: str, namespace: str) -> None:
    """Sanction SANCTIONED addresses."""
    asyncio.run(_sanction_many(url, namespace))


def write_foreign_entries(url: str, namespace: str) -> None:
    """Replace what is in Redis by deeply nested JSON: each key of the fleet, and each key of a caller that is there."""
    with redis.Redis.from_url(url) as client:
        known: dict[bytes, str] = {key.encode(): row.type for key, row in shared_keys(Namespace(namespace)).items()}
        for key in list(client.scan_iter(f"{namespace}:*", count=1_000)):
            known.setdefault(key, "string")
        for key, kind in known.items():
            client.delete(key)
            _write(client, key, kind)


def _write(client: Any, key: bytes, kind: str) -> None:
    if kind == "hash":
        client.hset(key, _JUNK, _JUNK)
    elif kind == "list":
        client.rpush(key, _JUNK)
    elif kind == "zset":
        client.zadd(key, {_JUNK: 9e15})
    else:
        client.set(key, _JUNK)


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


async def _sanction_many(url: str, namespace: str) -> None:
    settings = Settings.load({}, redis_url=url, namespace=namespace)
    store = open_store(settings, _Failures())
    for first in range(0, SANCTIONED, _AT_ONCE):
        await asyncio.gather(*(
            store.impose(Sanction(_subject(number), PolicyName.BRUTE_FORCE, _SANCTION_SECONDS, "offences"))
            for number in range(first, min(SANCTIONED, first + _AT_ONCE))
        ))  # fmt: skip
    await store.aclose()


def _subject(number: int) -> Subject:
    return subject_of(parse_address(_address(number)))
