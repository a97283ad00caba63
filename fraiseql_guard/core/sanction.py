"""Escalation policies, and the sanctions that they or an operator impose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.signals import PolicyName


@dataclass(frozen=True, slots=True)
class Sanction:
    """A block in force. ``expires_in_seconds`` counts from the answer that carried it."""

    subject: Subject
    policy: PolicyName
    expires_in_seconds: float
    reason: str = ""
    actor: str = ""  # the operator who imposed it

    @property
    def automatic(self) -> bool:
        """Imposed by an escalation policy, not by the operator."""
        return self.policy is not PolicyName.OPERATOR


@dataclass(frozen=True)
class Escalation:
    """An escalation policy: so many offences inside a window bring a sanction. The runbooks name four.

    Offences of a policy that is not ``enforced`` (monitor mode) are kept under keys of their own, which block no one.
    """

    policy: PolicyName
    offences: int
    window_seconds: int
    sanction_seconds: int
    enforced: bool = True

    def __hash__(self) -> int:
        return self._hash  # a few policies live long, and each request looks one up

    @cached_property
    def _hash(self) -> int:
        return hash((self.policy, self.offences, self.window_seconds, self.sanction_seconds, self.enforced))
