"""The sub-store of sanctions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName
from fraiseql_guard.stores.sanction_pages import Page

Sanctioned = tuple[Subject, PolicyName]
"""A sanctioned subject, and the policy of its sanction."""


class SanctionStore(Protocol):
    """The sanctions in force. Every method but ``known`` may raise StoreError, and ``pardon`` of a failover store does
    not either."""

    def known(self, subject: Subject, exempt: frozenset[PolicyName]) -> Sanction | None:
        """A sanction that bound enforcing requests of this subject when this process last saw it, and may still do so:
        ``Store.admit`` knows. Asks no store, and never raises."""
        ...

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force for ``expires_in_seconds``, replacing one of the same policy. Its ``actor`` is
        kept and shown by :meth:`all`.

        Monitoring processes see it as well. To sanction a group, give a subject whose name is the group's.
        """
        ...

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions (of one policy, or all), forget its offences; return how many ended.

        Those of its group hold until the group's are lifted. Sanctions of monitor mode, which bind no caller, end
        uncounted.
        """
        ...

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """Lift each of these, as :meth:`lift` does; return how many ended. A batch is at most a few hundred."""
        ...

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy because it has proved itself, and end what they brought.

        Does what :meth:`lift` does, but a request asks for it and no operator: without the store it is done in this
        process alone.
        """
        ...

    async def all(self) -> Sequence[Sanction]:
        """All sanctions in force, in no order, however many: for small fleets and tests. Their subjects carry kind,
        name and group, not the networks."""
        ...

    async def page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """At most so many sanctions in force, those that end last first. ValueError if no page gave the cursor."""
        ...

    async def of(self, subject: Subject) -> Sequence[Sanction]:
        """A subject's own sanctions in force."""
        ...

    async def count(self) -> int:
        """Number of sanctions in force, without listing them."""
        ...

    def batches(self) -> AsyncIterator[Sequence[Sanctioned]]:
        """The sanctioned subjects, in batches and in no order, some of them twice; the event loop turns between two
        batches.

        A sanction that is in force all the time is not missed; one that ends meanwhile may be among them.
        """
        ...
