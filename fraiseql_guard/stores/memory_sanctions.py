"""The sub-store of sanctions in the memory of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.memory_offences import MemoryOffences
from fraiseql_guard.stores.recent_sanctions import MemoryRecentSanctions
from fraiseql_guard.stores.sanction_pages import Cursor, Longest, Page, moment_in
from fraiseql_guard.stores.sanctions import Sanctioned


class MemorySanctions:
    """SanctionStore in the memory of a process. ``clock`` counts seconds.

    ``offences`` has the offences and sanctions of enforcing requests under True, and of monitoring requests under
    False: only sanctions of enforcing requests are listed.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        max_subjects: int,
        max_sanctions: int,
        recent: MemoryRecentSanctions | None = None,
    ) -> None:
        self._clock = clock
        self.recent = recent or MemoryRecentSanctions(clock)
        self.offences = {
            enforced: MemoryOffences(max_subjects=max_subjects, max_sanctions=max_sanctions)
            for enforced in (True, False)
        }

    def learn(self, sanction: Sanction, *, enforced: bool) -> None:
        """Bring a sanction into force for enforcing requests alone, or for monitoring requests alone."""
        self.offences[enforced].impose(sanction, self._clock())

    def forget(self, subject: Subject, *, enforced: bool, keep: Iterable[PolicyName] = ()) -> None:
        """Drop the sanctions that bind a subject, its group's included, but for some policies; offences stay."""
        self.offences[enforced].forget(subject, frozenset(keep))

    def reset(self) -> None:
        """Forget all offences and automatic sanctions."""
        for offences in self.offences.values():
            offences.reset(self._clock())

    def known(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """SanctionStore.known."""
        offences = self.offences[True]
        return offences.binding(subject, exempt, self._clock()) if offences.held_subjects() else None

    async def impose(self, sanction: Sanction) -> None:
        """SanctionStore.impose."""
        # An operator's sanction holds in monitor mode as well, so that its refusals are counted there.
        for enforced in self.offences:
            self.learn(sanction, enforced=enforced)
        self.recent.note(sanction)

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """SanctionStore.lift."""
        now = self._clock()
        policies = tuple(PolicyName) if policy is None else (policy,)
        # Lifted in both modes; only sanctions that bind callers are counted.
        ended = {enforced: offences.lift(subject, policies, now) for enforced, offences in self.offences.items()}
        return ended[True]

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """SanctionStore.lift_many."""
        return sum([await self.lift(subject, policy) for subject, policy in sanctioned])

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """SanctionStore.pardon."""
        await self.lift(subject, policy)

    async def all(self) -> Sequence[Sanction]:
        """SanctionStore.all."""
        return self.offences[True].in_force(self._clock())

    async def page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """SanctionStore.page."""
        found, now = Longest[Sanction](Cursor.read(cursor), limit), self._clock()
        async for batch in self.offences[True].batches(now):
            found.add((moment_in(now + each.expires_in_seconds), each) for each in batch)
        return found.page()

    async def of(self, subject: Subject) -> Sequence[Sanction]:
        """SanctionStore.of."""
        return self.offences[True].sanctions_of(subject, self._clock())

    async def count(self) -> int:
        """SanctionStore.count."""
        return self.offences[True].count(self._clock())

    async def batches(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """SanctionStore.batches."""
        async for batch in self.offences[True].batches(self._clock()):
            yield [(each.subject, each.policy) for each in batch]
