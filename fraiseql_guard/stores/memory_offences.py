"""Offences and sanctions in the memory of a process: the second half of admit.lua in Python. Times are seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru, RankedLru
from fraiseql_guard.core.sanction import Escalation, Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.protocol import (
    ABUSE_INTERVAL_SECONDS,
    LONGEST_REPEAT_SECONDS,
    REPEAT_SECONDS,
    SANCTIONED_NETWORKS,
    Imposed,
)

_Key = tuple[str, str]
_BATCH = 256  # sanctioned subjects between two turns of the event loop: half a millisecond
_SWEPT = 2  # entries looked at for every one written: expired ones go faster than new ones come


@dataclass(slots=True)
class _Offence:
    at: float
    weight: int
    seen: int


@dataclass(slots=True)
class _Offences:
    """The offences of one subject and policy in its window, oldest first, with the sums of their weights and requests:
    adding one costs the same however many there are."""

    log: list[_Offence] = field(default_factory=list)  # of one entry mostly: a deque takes seven times the memory
    weight: int = 0
    seen: int = 0

    def keep_since(self, begin: float, now: float) -> None:
        """Drop the offences before ``begin``."""
        # A clock that was set back must not keep offences in the window: none happened later than now.
        for offence in reversed(self.log):
            if offence.at <= now:
                break
            offence.at = now
        # The oldest come first.
        gone = 0
        for offence in self.log:
            if offence.at > begin:
                break
            gone += 1
            self.weight -= offence.weight
            self.seen -= offence.seen
        del self.log[:gone]

    def happened_since(self, begin: float) -> bool:
        """Whether the last offence came after ``begin``."""
        return bool(self.log) and self.log[-1].at > begin

    def add(self, offence: _Offence) -> None:
        """Count one more offence."""
        self.log.append(offence)
        self.weight += offence.weight
        self.seen += offence.seen

    def add_to_last(self, seen: int) -> None:
        """Count more requests into the last offence."""
        self.log[-1].seen += seen
        self.seen += seen


@dataclass(slots=True)
class _Held:
    """The sanctions of one subject by policy: (moment of its end, reason, actor) for each."""

    subject: Subject
    policies: dict[PolicyName, tuple[float, str, str]] = field(default_factory=dict)

    def in_force(self, policy: PolicyName, now: float) -> bool:
        return policy in self.policies and self.policies[policy][0] > now

    def automatic_in_force(self, now: float) -> bool:
        """Whether any sanction but an operator's binds."""
        return any(self.in_force(policy, now) for policy in self.policies if policy is not PolicyName.OPERATOR)

    def has_ended(self, now: float) -> bool:
        return all(expires <= now for expires, _, _ in self.policies.values())


class MemoryOffences:
    """The offences and sanctions of either enforcing or monitoring requests.

    Keeps at most ``max_subjects`` records of offences and of earlier sanctions, and ``max_sanctions`` sanctioned
    subjects: those with automatic sanctions alone go before any that an operator has blocked.
    """

    def __init__(self, *, max_subjects: int, max_sanctions: int) -> None:
        self._offences: Lru[tuple[_Key, PolicyName], _Offences] = Lru(max_subjects)
        # How often a sanction was imposed lately, and until when the next one counts as a repeat.
        self._repeats: Lru[tuple[_Key, PolicyName], tuple[int, float]] = Lru(max_subjects)
        self._held: RankedLru[_Key, _Held] = RankedLru(max_sanctions)
        # By group: its networks with automatic sanctions, and the end of each sanction.
        self._groups: Lru[_Key, dict[str, float]] = Lru(max_sanctions)
        self.held_subjects: Callable[[], int] = self._held.count
        """How many subjects have sanctions that are kept here, in force or expired."""
        self.offence_records: Callable[[], int] = self._offences.count
        """How many records of offences are kept."""

    def binding(self, subject: Subject, exempt: frozenset[PolicyName], now: float) -> Sanction | None:
        """The sanction that binds a subject, but for those of ``exempt`` policies; None if there is none.

        Its own and its group's sanctions bind: an operator's first, then the sanction that lasts longest.
        """
        best: Sanction | None = None
        for key in _bearers(subject):
            held = self._held.get(key)
            for policy, (expires, reason, actor) in held.policies.items() if held else ():
                if expires <= now or (policy is not PolicyName.OPERATOR and policy in exempt):
                    continue
                bearer = subject if key == _own(subject) else _group(subject)
                found = Sanction(bearer, policy, expires - now, reason, actor)
                if best is None or _rank(found) > _rank(best):
                    best = found
        return best

    def impose(self, sanction: Sanction, now: float) -> None:
        """Bring a sanction into force; it replaces an earlier one of its subject and policy."""
        # Sweep a little with each write: expired entries go, and entries in force become the newest.
        for key, held in self._held.oldest(_SWEPT):
            if held.has_ended(now):
                self._held.pop(key)
            else:
                self._keep(key, held, now)
        key = _own(sanction.subject)
        held = self._held.get(key) or _Held(sanction.subject)
        expires = now + sanction.expires_in_seconds
        held.policies[sanction.policy] = (expires, sanction.reason, sanction.actor)
        self._keep(key, held, now)

    def _keep(self, key: _Key, held: _Held, now: float) -> None:
        """Keep a subject's sanctions. Automatic sanctions in a flood of addresses push out no operator's sanction."""
        self._held.put(key, held, above=held.in_force(PolicyName.OPERATOR, now))

    def lift(self, subject: Subject, policies: Iterable[PolicyName], now: float) -> int:
        """End a subject's own sanctions, forget its offences and earlier sanctions; return how many ended."""
        key, ended = _own(subject), 0
        held = self._held.get(key)
        for policy in policies:
            self._offences.pop((key, policy))
            self._repeats.pop((key, policy))
            if held is not None:
                ended += held.in_force(policy, now)
                held.policies.pop(policy, None)
        # The remaining sanctions rank anew: without an operator's among them, a flood may push them out.
        if held is not None and held.policies:
            self._keep(key, held, now)
        else:
            self._held.pop(key)
        self._leave_group(subject, held, now)
        return ended

    def forget(self, subject: Subject, keep: frozenset[PolicyName]) -> None:
        """Drop the sanctions that bind a subject, but for some policies."""
        if not self._held.count():
            return
        for key in _bearers(subject):
            held = self._held.get(key)
            if held is None:
                continue
            held.policies = {policy: kept for policy, kept in held.policies.items() if policy in keep}
            if not held.policies:
                self._held.pop(key)

    def reset(self, now: float) -> None:
        """Forget all offences, and all sanctions but those of operators."""
        for table in (self._offences, self._repeats, self._groups):
            table.clear()
        for held in self._held.values():
            self.lift(held.subject, frozenset(held.policies) - {PolicyName.OPERATOR}, now)

    def in_force(self, now: float) -> list[Sanction]:
        """All sanctions that bind now."""
        return [sanction for _, held in self._held.items() for sanction in _in_force(held, now)]

    def sanctions_of(self, subject: Subject, now: float) -> list[Sanction]:
        """A subject's own sanctions that bind now."""
        held = self._held.look(_own(subject))
        return [] if held is None else _in_force(held, now)

    async def batches(self, now: float) -> AsyncIterator[list[Sanction]]:
        """All sanctions that bind now, in batches between which the event loop turns."""
        held = self._held.values()
        for start in range(0, len(held), _BATCH):
            yield [sanction for each in held[start : start + _BATCH] for sanction in _in_force(each, now)]
            await asyncio.sleep(0)

    def count(self, now: float) -> int:
        """How many sanctions bind now."""
        return sum([expires > now for held in self._held.values() for expires, _, _ in held.policies.values()])

    def offend(
        self, subject: Subject, escalation: Escalation, now: float, *, weight: int, seen: int, once_a_second: bool
    ) -> Imposed | None:
        """Count an offence; return the sanction that it brought, None if it brought none.

        ``weight``: how many offences it counts as; ``seen``: how many requests it stands for; ``once_a_second``:
        further ones of the same second add requests alone.
        """
        policy = escalation.policy
        for key in _bearers(subject):
            held = self._held.get(key)
            if held is not None and held.in_force(policy, now):
                return None  # offences during a sanction do not prolong it
        # A caller that goes on asking adds one offence a second; its further requests only add to ``seen``.
        record = (_own(subject), policy)
        offences = self._offences.get(record) or _Offences()
        offences.keep_since(now - escalation.window_seconds, now)
        if once_a_second and offences.happened_since(now - ABUSE_INTERVAL_SECONDS):
            offences.add_to_last(seen)
            return None
        # The offence that meets the policy imposes its sanction, and counting begins anew.
        offences.add(_Offence(now, weight, seen))
        if offences.weight < escalation.offences:
            self._offences.put(record, offences)
            return None
        self._offences.pop(record)
        return Imposed(self._escalate(subject, escalation, now), escalation, offences.seen)

    def _escalate(self, subject: Subject, escalation: Escalation, now: float) -> Sanction:
        bearer = self._bearer(subject, now)
        record = (_own(bearer), escalation.policy)
        times, until = self._repeats.get(record) or (0, now)
        times = times + 1 if until > now else 1
        self._repeats.put(record, (times, now + REPEAT_SECONDS))
        # Each repeat lasts twice as long as the last one.
        base = escalation.sanction_seconds
        # The exponent is bounded because a float is not: twice as long as a second, thirty times over, is for ever.
        seconds = max(base, min(base * 2 ** min(times - 1, 30), LONGEST_REPEAT_SECONDS))
        reason = f"{escalation.offences} offences in {escalation.window_seconds} s"
        sanction = Sanction(bearer, escalation.policy, float(seconds), reason)
        self.impose(sanction, now)
        # A group keeps its sanctioned networks: with enough of them it is sanctioned itself (_bearer).
        if bearer is subject and _in_group(subject):
            group = _own(_group(subject))
            members = self._groups.get(group) or {}
            members[subject.name] = max(members.get(subject.name, 0.0), now + seconds)
            self._groups.put(group, members)
        return sanction

    def _bearer(self, subject: Subject, now: float) -> Subject:
        """The subject that bears the next sanction: the group, once enough of its networks are sanctioned, else
        ``subject``."""
        if not _in_group(subject):
            return subject
        members = self._groups.get(_own(_group(subject))) or {}
        for name in [name for name, expires in members.items() if expires <= now]:
            del members[name]
        # This network counts once, whether or not it was sanctioned before.
        others = len(members) - (subject.name in members)
        return _group(subject) if others + 1 >= SANCTIONED_NETWORKS else subject

    def _leave_group(self, subject: Subject, held: _Held | None, now: float) -> None:
        if not _in_group(subject):
            self._groups.pop(_own(subject))
        elif held is None or not held.automatic_in_force(now):
            (self._groups.get(_own(_group(subject))) or {}).pop(subject.name, None)


def _in_force(held: _Held, now: float) -> list[Sanction]:
    return [
        Sanction(held.subject, policy, expires - now, reason, actor)
        for policy, (expires, reason, actor) in held.policies.items()
        if expires > now
    ]


def _own(subject: Subject) -> _Key:
    return subject.kind, subject.name


def _in_group(subject: Subject) -> bool:
    return bool(subject.group) and subject.group != subject.name


def _group(subject: Subject) -> Subject:
    return Subject(subject.kind, subject.group)


def _bearers(subject: Subject) -> tuple[_Key, ...]:
    """The keys of the subjects whose sanctions bind a subject: its own and its group's."""
    own = _own(subject)
    return (own, (subject.kind, subject.group)) if _in_group(subject) else (own,)


def _rank(sanction: Sanction) -> tuple[bool, float]:
    return sanction.policy is PolicyName.OPERATOR, sanction.expires_in_seconds
