"""The store on Redis 6.2 and up: one EVALSHA an admission, Redis's own clock, a TTL on every key.

All keys of a subject begin with ``fg:{tag}:``, so that they share one hash slot; ``fg:{sanctions}`` is an index for
:meth:`RedisStore.sanctions` alone, written after a sanction came into force. What each key holds is said in admit.lua.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

from fraiseql_guard.context import Limit, Sanction, Subject
from fraiseql_guard.signals import PolicyName
from fraiseql_guard.stores.address import Command
from fraiseql_guard.stores.check import check_redis
from fraiseql_guard.stores.control import ControlSet, Entry, EntryKind
from fraiseql_guard.stores.deployment import Deployment
from fraiseql_guard.stores.protocol import OVERRIDE, Outcome, StoreError, Trip
from fraiseql_guard.stores.redis_control import RedisControl
from fraiseql_guard.stores.scripts import Script
from fraiseql_guard.stores.topology import Topology, open_topology
from fraiseql_guard.stores.trips import (
    MILLIONTHS,
    Part,
    bucket_name,
    first_key,
    held_key,
    member_of,
    prefix,
    read_outcome,
    trip_arguments,
)

INDEX: Final = "fg:{sanctions}"
PROBE: Final = "fg:{probe}"
_LISTED_AT_ONCE: Final = 500


class RedisStore:
    """Rate limits, offences and sanctions that all workers on one Redis share.

    ``url`` is what Deployment.parse reads: one server, a master behind Sentinels, or a cluster; ``timeout_seconds`` is
    the deadline of each exchange, connecting included. One connection an event loop (to each node of a cluster), opened
    when first needed. Every method but ``check`` may raise StoreError.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._deployment = Deployment.parse(url)
        self._timeout_seconds = timeout_seconds
        self._admit, self._impose = Script.read("admit"), Script.read("impose")
        self._lift, self._index = Script.read("lift"), Script.read("index")
        self._keep, self._limit = Script.read("control"), Script.read("limit")
        self._control = RedisControl(lambda key, arguments: self._run(self._keep, key, arguments))
        self._topologies: dict[asyncio.AbstractEventLoop, Topology] = {}

    async def admit(self, trip: Trip) -> Outcome:
        """Settle a request's whole bill in one exchange (Store.admit)."""
        arguments = trip_arguments(trip)
        reply = await self._run(self._admit, first_key(trip, arguments), arguments)
        try:
            outcome = read_outcome(trip, reply)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise StoreError("script", f"unexpected answer {reply!r}", opens_breaker=False) from error
        if outcome.imposed is not None and outcome.imposed.escalation.enforced:
            await self._note(outcome.imposed.sanction)
        return outcome

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force (Store.impose)."""
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        arguments = (member_of(sanction.subject), sanction.policy.value, length, sanction.reason)
        await self._run(self._impose, held_key(sanction.subject), arguments)
        await self._note(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions and forget its offences (Store.lift)."""
        policies = [one.value for one in PolicyName] if policy is None else [policy.value]
        ended = int(await self._run(self._lift, held_key(subject), (member_of(subject), *policies)))
        await self._write_index(0, [_note(subject, one) for one in policies])
        return ended

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy (Store.pardon)."""
        await self.lift(subject, policy)

    async def sanctions(self) -> Sequence[Sanction]:
        """All sanctions in force (Store.sanctions): those of the index that the subjects' own keys confirm."""
        now_parts, notes = await asyncio.gather(
            self._ask(("TIME",), key=INDEX), self._ask(("ZRANGE", INDEX, 0, -1), key=INDEX)
        )
        now = int(now_parts[0]) * MILLIONTHS + int(now_parts[1])
        found: list[Sanction] = []
        for start in range(0, len(notes), _LISTED_AT_ONCE):
            read = [_read_note(note) for note in notes[start : start + _LISTED_AT_ONCE]]
            keys = [held_key(subject) for subject, _ in read]
            held = await asyncio.gather(
                *(self._ask(("HGET", key, policy), key=key) for key, (_, policy) in zip(keys, read, strict=True))
            )
            for (subject, policy), value in zip(read, held, strict=True):
                expires, _, reason = (value or b"0").partition(b" ")
                if int(expires) > now:
                    left = (int(expires) - now) / MILLIONTHS
                    found.append(Sanction(subject, policy, left, reason.decode(errors="replace")))
        return found

    async def control(self, known_version: int) -> ControlSet | None:
        """The control set if it has changed (ControlStore.control)."""
        return await self._control.control(known_version)

    async def tell(self, entry: Entry) -> None:
        """Bring an entry of the control set into force (ControlStore.tell)."""
        await self._control.tell(entry)

    async def untell(self, kind: EntryKind, key: str) -> bool:
        """Take an entry of the control set back (ControlStore.untell)."""
        return await self._control.untell(kind, key)

    async def set_limit(self, subject: Subject, limit: Limit, burst: int, seconds: float) -> None:
        """Override a subject's limits for a while (Store.set_limit)."""
        await self._override(subject, math.ceil(seconds * 1000), f"{limit.tokens} {limit.window_seconds} {burst}")

    async def clear_limit(self, subject: Subject) -> bool:
        """End an override (Store.clear_limit)."""
        return bool(await self._override(subject, 0, ""))

    async def _override(self, subject: Subject, length: int, value: str) -> Any:
        key = f"{prefix(subject)}l{member_of(subject)}"
        return await self._run(self._limit, key, (length, value, bucket_name(member_of(subject), OVERRIDE)))

    async def ping(self) -> None:
        """Return if the store answers and takes writes: a full disk or a replica would refuse every admission."""
        await self._ask(("SET", PROBE, 1, "PX", 1000), key=PROBE)

    async def check(self) -> list[str]:
        """What deserves a look: eviction, version, no writes, no answer (Store.check)."""
        return await check_redis(self._topology(), PROBE)

    async def aclose(self) -> None:
        """Drop this event loop's connections; the next call connects anew."""
        topology = self._topologies.pop(asyncio.get_running_loop(), None)
        if topology is not None:
            await topology.aclose()

    async def _run(self, script: Script, key: str, arguments: Iterable[Part]) -> Any:
        """Run a script where its key is; no other key than those of the same hash tag is within its reach."""
        return await self._ask(("EVALSHA", script.sha, 1, key, *arguments), key=key)

    def _ask(self, command: Command, *, key: str) -> Awaitable[Any]:
        return self._topology().ask(key, command, timeout_seconds=self._timeout_seconds)

    def _topology(self) -> Topology:
        loop = asyncio.get_running_loop()
        topology = self._topologies.get(loop)
        if topology is None:
            for ended in [other for other in self._topologies if other.is_closed()]:
                del self._topologies[ended]
            scripts = (self._admit, self._impose, self._lift, self._index, self._keep, self._limit)
            topology = self._topologies[loop] = open_topology(self._deployment, scripts)
        return topology

    async def _note(self, sanction: Sanction) -> None:
        length = math.ceil(sanction.expires_in_seconds * MILLIONTHS)
        await self._write_index(length, [_note(sanction.subject, sanction.policy.value)])

    async def _write_index(self, length: int, notes: Sequence[str]) -> None:
        try:
            await self._run(self._index, INDEX, (length, *notes))
        except StoreError:
            return  # the sanction itself is in force or lifted: the index only lists, and forgets by itself


def _note(subject: Subject, policy: str) -> str:
    return json.dumps([subject.kind, subject.name, subject.group, policy])


def _read_note(note: bytes) -> tuple[Subject, PolicyName]:
    kind, name, group, policy = json.loads(note)
    return Subject(kind, name, group), PolicyName(policy)
