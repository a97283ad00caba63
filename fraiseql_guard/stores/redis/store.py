"""The store on Redis 6.2 and up: one EVALSHA an admission, Redis's own clock, a TTL on every key.

All keys of a subject begin with ``fg:{tag}:``, so that they share one hash slot; ``fg:{sanctions}`` is an index that
only serves lists, and is written after a sanction came into force. admit.lua says what each key holds. All keys may
begin with another namespace than ``fg``; two namespaces share no keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.core.token_buckets import Bucket
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, StoreError
from fraiseql_guard.stores.redis.admit_codec import (
    UNREADABLE,
    adjust_arguments,
    admit_call,
    bucket_name,
    read_adjusted,
    read_result,
)
from fraiseql_guard.stores.redis.check import check_redis
from fraiseql_guard.stores.redis.client import ScriptCall, open_client
from fraiseql_guard.stores.redis.documents import RedisDocuments
from fraiseql_guard.stores.redis.fleet import RedisFleet
from fraiseql_guard.stores.redis.key_access import RedisKeys
from fraiseql_guard.stores.redis.key_families import PROBE
from fraiseql_guard.stores.redis.lift_jobs import RedisLiftJobs
from fraiseql_guard.stores.redis.limits import RedisLimits
from fraiseql_guard.stores.redis.namespace import NAMESPACE, Namespace
from fraiseql_guard.stores.redis.overrides import RedisOverrides
from fraiseql_guard.stores.redis.refused_documents import RedisRefusedDocuments
from fraiseql_guard.stores.redis.repair import foreign
from fraiseql_guard.stores.redis.sanctions import RedisSanctions
from fraiseql_guard.stores.redis.scripts import read_script, read_scripts
from fraiseql_guard.stores.redis.two_slots import TwoSlots

_RESET_SECONDS: Final = 10.0


class RedisStore:
    """Rate limits, offences and sanctions that all workers on one Redis share.

    ``url`` names one server, a master behind Sentinels, or a cluster (core/redis_urls.py); ValueError for any other.
    ``timeout_seconds`` is the deadline of each exchange, connecting included; all keys begin with ``namespace``. Each
    event loop has one connection (to each node of a cluster), opened when first needed. Every method but ``check`` may
    raise StoreError.
    """

    def __init__(self, url: str, *, timeout_seconds: float, namespace: str = NAMESPACE) -> None:
        scripts = read_scripts()
        self._client = open_client(url, tuple(scripts.values()))
        send = partial(self._client.call, timeout_seconds=timeout_seconds)
        self.keys = keys = RedisKeys(send, scripts, Namespace(namespace))
        self._probe = keys.names.common(PROBE)
        self._clustered = self._client.clustered
        self._two_slots = TwoSlots(self._evaluate, self.adjust, scripts["admit"].sha, keys.names)
        self.unreadable = keys.unreadable
        self.breaker_open: Final = False
        self.sanctions = RedisSanctions(keys)
        self.limits = RedisLimits(keys)
        self.overrides = RedisOverrides(keys)
        self.documents = RedisDocuments(keys)
        self.fleet = RedisFleet(keys)
        self.refused_documents = RedisRefusedDocuments(keys)
        self.lift_jobs = RedisLiftJobs(keys)

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill in one exchange (Store.admit)."""
        if request.limit_subject is not None and self._clustered and request.charges:
            result = await self._two_slots.admit(request)
        else:
            result = await self._evaluate(request, self._call_of(request))
        # Sanctions of monitor mode bind no caller, and are not listed.
        if result.imposed is not None and result.imposed.escalation.enforced:
            await self.sanctions.note_imposed(result.imposed.sanction)
        return result

    async def _evaluate(self, request: AdmitRequest, call: ScriptCall) -> AdmitResult:
        """The result of one call of admit.lua."""
        try:
            reply = await self.keys.send(call.key, call)
        except StoreError as error:
            # A script that fails may have met entries of other software: then the keys are repaired, and it runs again.
            if not foreign(error) or not await self.keys.repair.subjects(_buckets_of(request)):
                raise
            reply = await self.keys.send(call.key, call)
        return _read(request, reply)

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        """Change buckets after their request was admitted, in one exchange (Store.adjust)."""
        subject, arguments = adjustment.subject, adjust_arguments(adjustment)
        names = [bucket_name(subject.member, charge.key) for charge in adjustment.charges]
        key = f"{self.keys.names.of(subject)}b:{names[0]}"
        reply = await self.keys.run_on_buckets(subject, "adjust", key, arguments, names)
        try:
            return read_adjusted(adjustment, reply)
        except UNREADABLE as error:
            raise StoreError("script", f"unexpected answer {reply!r}", opens_breaker=False) from error

    async def ping(self) -> None:
        """Return if the store answers and takes writes: a full disk or a replica would refuse every admission."""
        await self.keys.send(self._probe, ("SET", self._probe, 1, "PX", 1000))

    async def check(self) -> list[str]:
        """Warnings: Redis evicts keys, is too old, takes no writes, does not answer (Store.check)."""
        return await check_redis(self._client, self._probe)

    async def reset(self) -> None:
        """Forget buckets, offences and automatic sanctions (Store.reset)."""
        async for batch in self.sanctions.batches():
            await self.sanctions.lift_many([each for each in batch if each[1] is not PolicyName.OPERATOR])
        # No connection loads this script beforehand: only tests call it.
        command = ("EVAL", read_script("reset").text, 0, self.keys.names.name)
        await self._client.call_all(command, timeout_seconds=_RESET_SECONDS)

    async def aclose(self) -> None:
        """Drop this event loop's connections; the next call connects anew."""
        await self._client.aclose()

    def _call_of(self, request: AdmitRequest) -> ScriptCall:
        """The packed call of admit.lua. The request keeps it, for when it is made again."""
        call: ScriptCall | None = request.call
        script, names = self.keys.scripts["admit"], self.keys.names
        # A request that another store has packed is packed anew.
        if call is None or call.sha != script.sha or call.namespace != names.name:
            call = request.call = admit_call(request, script.sha, names)
        return call


def _buckets_of(request: AdmitRequest) -> Mapping[Subject, Iterable[str]]:
    """The names of the buckets that a request asks for, by their subject."""
    found: dict[Subject, list[str]] = {request.subject: []}
    for charge in request.charges:
        owner = request.subject if charge.own else request.pays
        found.setdefault(owner, []).append(bucket_name(owner.member, charge.key))
    return found


def _read(request: AdmitRequest, reply: Any) -> AdmitResult:
    try:
        return read_result(request, reply)
    except UNREADABLE as error:
        raise StoreError("script", f"unexpected answer {reply!r}", opens_breaker=False) from error
