"""The store on Redis 6.2 and up: one EVALSHA an admission, Redis's own clock, a TTL on every key.

All keys of a subject begin with ``fg:{tag}:``, so that they share one hash slot; ``fg:{sanctions}`` is an index for
:meth:`RedisStore.sanctions` alone, written after a sanction came into force. What each key holds is said in admit.lua.
Instead of ``fg`` all keys may begin with another namespace; nothing is shared by two of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

from fraiseql_guard.core.context import Sanction, Subject
from fraiseql_guard.core.loop_task import PerLoop
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult, Sanctioned, StoreError
from fraiseql_guard.stores.redis.admit_codec import (
    MILLIONTHS,
    UNREADABLE,
    Part,
    admit_call,
    bucket_name,
    read_result,
    written_reason,
)
from fraiseql_guard.stores.redis.check import check_redis
from fraiseql_guard.stores.redis.client.address import Command
from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.client.topology import Topology, open_topology
from fraiseql_guard.stores.redis.documents import RedisDocuments
from fraiseql_guard.stores.redis.fleet import RedisFleet
from fraiseql_guard.stores.redis.key_families import PROBE
from fraiseql_guard.stores.redis.lift_job import RedisLiftJobs
from fraiseql_guard.stores.redis.limits import RedisLimits
from fraiseql_guard.stores.redis.namespace import NAMESPACE, Namespace
from fraiseql_guard.stores.redis.overrides import RedisOverrides
from fraiseql_guard.stores.redis.refused import RedisRefused
from fraiseql_guard.stores.redis.repair import Repair, foreign
from fraiseql_guard.stores.redis.sanctions import RedisSanctions, written_note
from fraiseql_guard.stores.redis.scripts import Call, Question, Script
from fraiseql_guard.stores.redis.unreadable import UnreadableEntries

_SCRIPTS: Final = (
    "admit", "impose", "lift", "index", "page", "control", "limit", "fleet", "ring", "documents", "refused", "lift_job",
)  # fmt: skip


class RedisStore:
    """Rate limits, offences and sanctions that all workers on one Redis share.

    ``url`` is what Deployment.parse reads: one server, a master behind Sentinels, or a cluster; ``timeout_seconds`` is
    the deadline of each exchange, connecting included; all keys begin with ``namespace``. One connection an event loop
    (to each node of a cluster), opened when first needed. Every method but ``check`` may raise StoreError.
    """

    def __init__(self, url: str, *, timeout_seconds: float, namespace: str = NAMESPACE) -> None:
        self._deployment = Deployment.parse(url)
        names = self._namespace = Namespace(namespace)
        self._probe = names.common(PROBE)
        self.unreadable = UnreadableEntries()
        """What of the entries on this Redis was left out, because none of ours wrote it."""
        self._repair = Repair(self._ask_plainly, names, self.unreadable)
        self._timeout_seconds = timeout_seconds
        self._scripts = {name: Script.read(name) for name in _SCRIPTS}
        self._take_parts()
        self._topologies: PerLoop[Topology] = PerLoop(self._open)

    def _open(self, _: asyncio.AbstractEventLoop) -> Topology:
        return open_topology(self._deployment, tuple(self._scripts.values()))

    def _take_parts(self) -> None:
        """The methods of Store that are about keys of one family each."""
        run, ask, names, unreadable = self._run, self._ask_for, self._namespace, self.unreadable
        sanctions = RedisSanctions(run, ask, names, unreadable)
        self._index = sanctions.key
        self.sanctions, self.sanctions_page, self.sanctions_of = sanctions.all, sanctions.page, sanctions.of
        self.sanctioned, self.count_sanctions = sanctions.index.scan, sanctions.index.count
        limits = RedisLimits(run, ask, names, unreadable)
        self.set_limit, self.clear_limit, self.limit_of = limits.set, limits.clear, limits.of
        self.limits, self.limits_page, self.count_limits = limits.all, limits.page, limits.count
        control = RedisOverrides(run, self._run_plainly, names, unreadable)
        self.control, self.tell, self.delete_override = control.control, control.tell, control.delete_override
        documents = self._documents = RedisDocuments(run, ask, names, unreadable)
        self.documents, self.document_texts = documents.index, documents.texts
        self.add_documents, self.remove_documents = documents.add, documents.remove
        fleet = RedisFleet(run, ask, names)
        self.beat, self.beats = fleet.beat, fleet.beats
        self.remember, self.recent = fleet.remember, fleet.recent
        self.record_action, self.actions = fleet.record_action, fleet.actions
        jobs = RedisLiftJobs(run, names)
        self.begin_lifting, self.advance_lifting = jobs.begin, jobs.advance
        self.finish_lifting, self.lifting = jobs.finish, jobs.read
        self.note_refused = RedisRefused(run, names).note_refused

    async def admit(self, trip: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill in one exchange (Store.admit)."""
        call = self._call_of(trip)
        try:
            reply = await self._ask(call, key=call.key)
        except StoreError as error:
            buckets = [bucket_name(trip.subject.member, charge.key) for charge in trip.charges]
            if not foreign(error) or not await self._repair.subject(trip.subject, buckets):
                raise
            reply = await self._ask(call, key=call.key)
        outcome = _read(trip, reply)
        if outcome.imposed is not None and outcome.imposed.escalation.enforced:
            await self._note(outcome.imposed.sanction)
        return outcome

    def known_sanction(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:  # noqa: ARG002
        """Nothing is known here without asking (Store.known_sanction)."""
        return None

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force (Store.impose)."""
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        arguments = (sanction.subject.member, sanction.policy.value, length, written_reason(sanction))
        await self._run_of(sanction.subject, "impose", arguments)
        await self._note(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions and forget its offences (Store.lift)."""
        policies = tuple(PolicyName) if policy is None else (policy,)
        ended = int(await self._run_of(subject, "lift", (subject.member, *policies)))
        await self._write_index(0, [written_note(subject, one) for one in policies])
        return ended

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """End many sanctions with one write to the index (Store.lift_many)."""
        ended = await asyncio.gather(
            *(self._run_of(subject, "lift", (subject.member, policy.value)) for subject, policy in sanctioned)
        )
        await self._write_index(0, [written_note(subject, policy) for subject, policy in sanctioned])
        return sum(map(int, ended))

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy (Store.pardon)."""
        await self.lift(subject, policy)

    async def ping(self) -> None:
        """Return if the store answers and takes writes: a full disk or a replica would refuse every admission."""
        await self._ask(("SET", self._probe, 1, "PX", 1000), key=self._probe)

    async def check(self) -> list[str]:
        """What deserves a look: eviction, version, no writes, no answer (Store.check)."""
        return await check_redis(self._topologies.here(), self._probe)

    async def aclose(self) -> None:
        """Drop this event loop's connections; the next call connects anew."""
        topology = self._topologies.pop()
        if topology is not None:
            await topology.aclose()

    async def _run(self, script: str, key: str, arguments: Iterable[Part | bytes]) -> Any:
        """Run a script where its key is; no other key than those of the same hash tag is within its reach. A key that
        other software has written to is taken back first."""
        return await self._ask_for(key, ("EVALSHA", self._scripts[script].sha, 1, key, *arguments))

    async def _run_of(self, subject: Subject, script: str, arguments: Iterable[Part | bytes]) -> Any:
        """The same on a subject's sanctions."""
        key = self._namespace.sanctions_of(subject)
        command = ("EVALSHA", self._scripts[script].sha, 1, key, *arguments)
        try:
            return await self._ask(command, key=key)
        except StoreError as error:
            if not foreign(error) or not await self._repair.subject(subject):
                raise
        return await self._ask(command, key=key)

    def _run_plainly(self, script: str, key: str, arguments: Iterable[Part | bytes]) -> Awaitable[Any]:
        """The same, whatever the key holds."""
        return self._ask(("EVALSHA", self._scripts[script].sha, 1, key, *arguments), key=key)

    async def _ask_for(self, key: str, command: Command) -> Any:
        try:
            return await self._ask(command, key=key)
        except StoreError as error:
            if not foreign(error) or not await self._repair.shared(key):
                raise
        return await self._ask(command, key=key)

    def _ask_plainly(self, key: str, command: Command) -> Awaitable[Any]:
        return self._ask(command, key=key)

    def _call_of(self, trip: AdmitRequest) -> Call:
        """The packed call of admit.lua, which a trip that is made again keeps."""
        call: Call | None = trip.call
        script = self._scripts["admit"]
        if call is None or call.sha != script.sha or call.namespace is not self._namespace:
            call = trip.call = admit_call(trip, script.sha, self._namespace)
        return call

    def _ask(self, question: Question, *, key: str) -> Awaitable[Any]:
        return self._topologies.here().ask(key, question, timeout_seconds=self._timeout_seconds)

    async def _note(self, sanction: Sanction) -> None:
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        await self._write_index(length, [written_note(sanction.subject, sanction.policy)])

    async def _write_index(self, length: int, notes: Sequence[str]) -> None:
        try:
            await self._run("index", self._index, (length, *notes))
        except StoreError:
            return  # the sanction itself is in force or lifted: the index only lists, and forgets by itself


def _read(trip: AdmitRequest, reply: Any) -> AdmitResult:
    try:
        return read_result(trip, reply)
    except UNREADABLE as error:
        raise StoreError("script", f"unexpected answer {reply!r}", opens_breaker=False) from error
