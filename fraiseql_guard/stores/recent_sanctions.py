"""Sanctions of the last minute, by which processes with live connections learn of what other processes have imposed.

A subject's next request meets its sanction, but a live connection makes no request. So the store keeps the recently
sanctioned subjects beside the overrides, and a process that has live connections reads them with each look at the
overrides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.signals import PolicyName

MOST_RECENT: Final = 1_000
"""Most sanctions that are kept: one that is dropped ends its subject's connections with the next request instead."""
RECENT_SECONDS: Final = 60.0
_MILLIONTHS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RecentSanction:
    """A sanction that was imposed lately, on the subject with this tag and member, or on a whole group (no member)."""

    policy: PolicyName
    tag: str
    member: str = ""

    @classmethod
    def of(cls, sanction: Sanction) -> RecentSanction | None:
        """The entry for a sanction; None for a lockout, which ends no connection."""
        subject = sanction.subject
        return None if subject.kind == "login" else cls(sanction.policy, subject.tag, subject.member)

    def written(self) -> str:
        """The text under which the store keeps this entry (its mark)."""
        return f"{self.policy.value} {self.tag} {self.member}"


def read_recent(mark: bytes) -> RecentSanction:
    """The entry of a mark in the store; ValueError if it is none."""
    policy, tag, member = mark.decode().split(" ")
    return RecentSanction(PolicyName(policy), tag, member)


class MemoryRecentSanctions:
    """The recent sanctions of one process. ``clock`` counts seconds.

    ``at`` is the number of the last sanction: a clock may stand still between two sanctions.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[RecentSanction, tuple[int, float]] = {}
        self.at = 0

    def note(self, sanction: Sanction) -> None:
        """Keep a sanction that has come into force."""
        recent = RecentSanction.of(sanction)
        if recent is None:
            return
        self.at += 1
        self._held.pop(recent, None)  # the newest comes last
        self._held[recent] = (self.at, self._clock())
        if len(self._held) > MOST_RECENT:
            del self._held[next(iter(self._held))]

    def since(self, at: int) -> tuple[RecentSanction, ...]:
        """The sanctions after the one with the number ``at``; for a negative ``at`` those of the last ``-at``
        microseconds."""
        now = self._clock()
        earliest = now - min(RECENT_SECONDS, -at / _MILLIONTHS if at < 0 else RECENT_SECONDS)
        return tuple(each for each, (number, when) in self._held.items() if when > earliest and number > at)
