"""The protocol of the sub-store of sanctions."""

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
        """A sanction that this process last saw binding enforcing requests of this subject; None if it knows of none.
        It may be lifted by now: only ``Store.admit`` decides. Asks no store, and never raises."""
        ...

    async def impose(self, sanction: Sanction) -> None:
        """Bring a sanction into force for its ``expires_in_seconds``; it replaces an earlier one of its policy. Its
        ``actor`` is kept and shown by :meth:`all`.

        It holds for monitoring requests as well. To sanction a group, give a subject with the group's name.
        """
        ...

    async def lift(self, subject: Subject, policy: PolicyName | None = None) -> int:
        """End a subject's own sanctions (of one policy, or of all for None) and forget its offences; return how many
        sanctions ended.

        The sanctions of its group hold until the group's are lifted. Sanctions of monitor mode, which bind no caller,
        end without being counted.
        """
        ...

    async def lift_many(self, sanctioned: Sequence[Sanctioned]) -> int:
        """Lift the sanctions of each pair, as :meth:`lift` does; return how many ended. Give a few hundred at most."""
        ...

    async def pardon(self, subject: Subject, policy: PolicyName) -> None:
        """Forget a subject's offences of one policy, and end their sanction, after a successful login.

        As :meth:`lift`, but for a request and not for an operator: while the store does not answer, it is done in this
        process alone.
        """
        ...

    async def all(self) -> Sequence[Sanction]:
        """All sanctions in force, in no order, however many: for small fleets and tests. Their subjects carry kind,
        name and group, not the networks."""
        ...

    async def page(self, limit: int, cursor: str = "") -> Page[Sanction]:
        """At most ``limit`` sanctions in force, the last to end first, from ``cursor`` on ("" for the first page).
        ValueError for a cursor that no page gave."""
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
