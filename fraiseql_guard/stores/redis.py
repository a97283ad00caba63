"""The store on Redis 6.2 and up: one EVALSHA an admission, Redis's own clock, a TTL on every key.

All keys of a subject begin with ``fg:{tag}:``, so that they share one hash slot; ``fg:{sanctions}`` is an index for
:meth:`RedisStore.sanctions` alone, written after a sanction came into force. What each key holds is said in admit.lua.
Instead of ``fg`` all keys may begin with another namespace; nothing is shared by two of them.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

from hiredis import ReplyError

from fraiseql_guard.context import Limit, Sanction, Subject
from fraiseql_guard.signals import PolicyName
from fraiseql_guard.stores.address import Command
from fraiseql_guard.stores.check import check_redis
from fraiseql_guard.stores.control import ControlSet, Entry, EntryKind
from fraiseql_guard.stores.deployment import Deployment
from fraiseql_guard.stores.documents import Adding, DocumentIndex, TrustedDocument
from fraiseql_guard.stores.fleet import Beat
from fraiseql_guard.stores.namespace import NAMESPACE, Namespace
from fraiseql_guard.stores.protocol import HeldLimit, Outcome, StoreError, Trip
from fraiseql_guard.stores.redis_control import RedisControl
from fraiseql_guard.stores.redis_documents import RedisDocuments
from fraiseql_guard.stores.redis_fleet import RedisFleet
from fraiseql_guard.stores.redis_limits import RedisLimits, counting
from fraiseql_guard.stores.redis_refused import RedisRefused
from fraiseql_guard.stores.refused import RefusedFor
from fraiseql_guard.stores.scripts import Call, Script
from fraiseql_guard.stores.topology import Topology, open_topology
from fraiseql_guard.stores.trips import (
    MILLIONTHS,
    UNREADABLE,
    Part,
    read_outcome,
    read_reason,
    trip_call,
    written_reason,
)

_LISTED_AT_ONCE: Final = 500
_SCRIPTS: Final = ("admit", "impose", "lift", "index", "control", "limit", "fleet", "ring", "documents", "refused")


class RedisStore:
    """Rate limits, offences and sanctions that all workers on one Redis share.

    ``url`` is what Deployment.parse reads: one server, a master behind Sentinels, or a cluster; ``timeout_seconds`` is
    the deadline of each exchange, connecting included; all keys begin with ``namespace``. One connection an event loop
    (to each node of a cluster), opened when first needed. Every method but ``check`` may raise StoreError.
    """

    def __init__(self, url: str, *, timeout_seconds: float, namespace: str = NAMESPACE) -> None:
        self._deployment = Deployment.parse(url)
        names = self._namespace = Namespace(namespace)
        self._index = names.common("sanctions")
        self._probe = names.common("probe")
        self._timeout_seconds = timeout_seconds
        self._scripts = {name: Script.read(name) for name in _SCRIPTS}
        self._control = RedisControl(lambda key, arguments: self._run("control", key, arguments), names)
        self._documents = RedisDocuments(self._run, self._ask_for, names)
        self._fleet = RedisFleet(self._run, self._ask_for, names)
        self._limits = RedisLimits(self._run, self._ask_for, names)
        self._refused = RedisRefused(self._run, names)
        self._topologies: dict[asyncio.AbstractEventLoop, Topology] = {}

    async def admit(self, trip: Trip) -> Outcome:
        """Settle a request's whole bill in one exchange (Store.admit)."""
        reply = await self.begin(trip)
        return self.end(trip, reply) or await self.mend(trip, reply)

    def begin(self, trip: Trip) -> Awaitable[Any]:
        """Send a trip: the first half of :meth:`admit`, for who counts every step between the wire and the request."""
        call: Call | None = trip.call
        script = self._scripts["admit"]
        if call is None or call.sha != script.sha or call.namespace is not self._namespace:
            call = trip.call = trip_call(trip, script.sha, self._namespace)
        topology = self._topologies.get(asyncio.get_running_loop()) or self._topology()
        return topology.begin(call, timeout_seconds=self._timeout_seconds)

    def end(self, trip: Trip, reply: Any) -> Outcome | None:
        """The other half: what the answer says; None if that takes more than reading it (:meth:`mend`)."""
        try:
            outcome = read_outcome(trip, reply)
        except UNREADABLE:
            return None
        return None if outcome.imposed is not None and outcome.imposed.escalation.enforced else outcome

    async def mend(self, trip: Trip, reply: Any) -> Outcome:
        """What an answer says that is an error, or that tells of a sanction."""
        if isinstance(reply, ReplyError):
            reply = await self._topology().mend(trip.call, reply, timeout_seconds=self._timeout_seconds)
        outcome = _read(trip, reply)
        if outcome.imposed is not None and outcome.imposed.escalation.enforced:
            await self._note(outcome.imposed.sanction)
        return outcome

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force (Store.impose)."""
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        arguments = (sanction.subject.member, sanction.policy.value, length, written_reason(sanction))
        await self._run("impose", self._namespace.sanctions_of(sanction.subject), arguments)
        await self._note(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions and forget its offences (Store.lift)."""
        policies = [one.value for one in PolicyName] if policy is None else [policy.value]
        ended = int(await self._run("lift", self._namespace.sanctions_of(subject), (subject.member, *policies)))
        await self._write_index(0, [_note(subject, one) for one in policies])
        return ended

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy (Store.pardon)."""
        await self.lift(subject, policy)

    async def sanctions(self) -> Sequence[Sanction]:
        """All sanctions in force (Store.sanctions): those of the index that the subjects' own keys confirm."""
        now_parts, notes = await asyncio.gather(
            self._ask(("TIME",), key=self._index), self._ask(("ZRANGE", self._index, 0, -1), key=self._index)
        )
        now = int(now_parts[0]) * MILLIONTHS + int(now_parts[1])
        found: list[Sanction] = []
        for start in range(0, len(notes), _LISTED_AT_ONCE):
            read = [_read_note(note) for note in notes[start : start + _LISTED_AT_ONCE]]
            keys = [self._namespace.sanctions_of(subject) for subject, _ in read]
            held = await asyncio.gather(
                *(self._ask(("HGET", key, policy), key=key) for key, (_, policy) in zip(keys, read, strict=True))
            )
            for (subject, policy), value in zip(read, held, strict=True):
                expires, _, reason = (value or b"0").partition(b" ")
                if int(expires) > now:
                    left = (int(expires) - now) / MILLIONTHS
                    found.append(Sanction(subject, policy, left, *read_reason(reason)))
        return found

    async def count_sanctions(self) -> int:
        """How many sanctions are in force (Store.count_sanctions)."""
        return int(await self._ask(counting(self._index), key=self._index))

    async def count_limits(self) -> int:
        """How many overrides of limits are in force (Store.count_limits)."""
        return await self._limits.count()

    async def control(self, known_version: int) -> ControlSet | None:
        """The control set if it has changed (ControlStore.control)."""
        return await self._control.control(known_version)

    async def tell(self, entry: Entry) -> None:
        """Bring an entry of the control set into force (ControlStore.tell)."""
        await self._control.tell(entry)

    async def untell(self, kind: EntryKind, key: str) -> bool:
        """Take an entry of the control set back (ControlStore.untell)."""
        return await self._control.untell(kind, key)

    async def documents(self, known_version: int) -> DocumentIndex | None:
        """The trusted documents if they have changed (DocumentStore.documents)."""
        return await self._documents.index(known_version)

    async def document_texts(self, ids: Sequence[str]) -> Sequence[str | None]:
        """The texts of trusted documents (DocumentStore.document_texts)."""
        return await self._documents.texts(ids)

    async def add_documents(self, documents: Sequence[TrustedDocument]) -> Adding:
        """Trust documents, all or none (DocumentStore.add_documents)."""
        return await self._documents.add(documents)

    async def remove_documents(self, ids: Sequence[str]) -> int:
        """Trust documents no longer (DocumentStore.remove_documents)."""
        return await self._documents.remove(ids)

    async def beat(self, worker_id: str, payload: bytes, ttl_seconds: float) -> int:
        """Say that a worker is alive (FleetStore.beat)."""
        return await self._fleet.beat(worker_id, payload, ttl_seconds)

    async def beats(self) -> Sequence[Beat]:
        """All living workers (FleetStore.beats)."""
        return await self._fleet.beats()

    async def remember(self, records: Sequence[bytes]) -> None:
        """Put refusals into the ring of recent ones (FleetStore.remember)."""
        await self._fleet.remember(records)

    async def recent(self, count: int) -> Sequence[bytes]:
        """The last refusals (FleetStore.recent)."""
        return await self._fleet.recent(count)

    async def record_action(self, record: bytes) -> None:
        """Put an operator's action into the ring of actions (FleetStore.record_action)."""
        await self._fleet.record_action(record)

    async def actions(self, count: int) -> Sequence[bytes]:
        """The last actions (FleetStore.actions)."""
        return await self._fleet.actions(count)

    async def note_refused(self, refusals: Sequence[RefusedFor]) -> Sequence[str]:
        """Note who was refused for which document (RefusedStore.note_refused)."""
        return await self._refused.note_refused(refusals)

    async def set_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float, *, actor: str = "") -> None:
        """Override a subject's limits for a while (Store.set_limit)."""
        await self._limits.set(subject, limit, burst, seconds, actor=actor)

    async def clear_limit(self, subject: Subject) -> bool:
        """End an override (Store.clear_limit)."""
        return await self._limits.clear(subject)

    async def limits(self) -> Sequence[HeldLimit]:
        """All overrides in force (Store.limits)."""
        return await self._limits.all()

    async def ping(self) -> None:
        """Return if the store answers and takes writes: a full disk or a replica would refuse every admission."""
        await self._ask(("SET", self._probe, 1, "PX", 1000), key=self._probe)

    async def check(self) -> list[str]:
        """What deserves a look: eviction, version, no writes, no answer (Store.check)."""
        return await check_redis(self._topology(), self._probe)

    async def aclose(self) -> None:
        """Drop this event loop's connections; the next call connects anew."""
        topology = self._topologies.pop(asyncio.get_running_loop(), None)
        if topology is not None:
            await topology.aclose()

    async def _run(self, script: str, key: str, arguments: Iterable[Part | bytes]) -> Any:
        """Run a script where its key is; no other key than those of the same hash tag is within its reach."""
        return await self._ask(("EVALSHA", self._scripts[script].sha, 1, key, *arguments), key=key)

    def _ask_for(self, key: str, command: Command) -> Awaitable[Any]:
        return self._ask(command, key=key)

    def _ask(self, command: Command, *, key: str) -> Awaitable[Any]:
        return self._topology().ask(key, command, timeout_seconds=self._timeout_seconds)

    def _topology(self) -> Topology:
        loop = asyncio.get_running_loop()
        topology = self._topologies.get(loop)
        if topology is None:
            for ended in [other for other in self._topologies if other.is_closed()]:
                del self._topologies[ended]
            scripts = tuple(self._scripts.values())
            topology = self._topologies[loop] = open_topology(self._deployment, scripts)
        return topology

    async def _note(self, sanction: Sanction) -> None:
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        await self._write_index(length, [_note(sanction.subject, sanction.policy.value)])

    async def _write_index(self, length: int, notes: Sequence[str]) -> None:
        try:
            await self._run("index", self._index, (length, *notes))
        except StoreError:
            return  # the sanction itself is in force or lifted: the index only lists, and forgets by itself


def _read(trip: Trip, reply: Any) -> Outcome:
    try:
        return read_outcome(trip, reply)
    except UNREADABLE as error:
        raise StoreError("script", f"unexpected answer {reply!r}", opens_breaker=False) from error


def _note(subject: Subject, policy: str) -> str:
    return json.dumps([subject.kind, subject.name, subject.group, policy])


def _read_note(note: bytes) -> tuple[Subject, PolicyName]:
    kind, name, group, policy = json.loads(note)
    return Subject(kind, name, group), PolicyName(policy)
