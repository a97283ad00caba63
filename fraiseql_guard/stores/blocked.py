"""The process's memory of blocked addresses, which bounds what their tokens cost.

A block of an address does not bind a valid token behind it, so the token of a request must be verified before the block
refuses it. To bound that work, a blocked address gets the block's refusal after ten verifications in a second. So does
an address that sends more expired tokens than their ceiling allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.lru import Lru

VERIFICATIONS_A_SECOND: Final = 10.0
_LONGEST_SECONDS: Final = 1.0
"""How long a block is remembered after the store's last answer about it, so that lifting one needs no message."""


@dataclass(slots=True)
class _Address:
    denial: Denial
    until: float
    left: float
    counted_at: float


class BlockedAddresses:
    """The addresses that the store called blocked a moment ago. ``clock`` counts seconds and never goes back."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = 10_000) -> None:
        self._clock = clock
        self._addresses: Lru[str, _Address] = Lru(size)

    def note(self, subject: Subject, denial: Denial) -> None:
        """Remember that the store calls this address blocked, and the ``denial`` that refuses its requests."""
        now = self._clock()
        known = self._addresses.get(subject.name)
        if known is None:
            # A block that is noted again keeps the verifications that were used up.
            known = _Address(denial, now, VERIFICATIONS_A_SECOND, now)
            self._addresses.put(subject.name, known)
        known.denial, known.until = denial, now + _LONGEST_SECONDS

    def holds(self, subject: Subject) -> bool:
        """Whether this address was found blocked a moment ago."""
        known = self._addresses.look(subject.name)
        return known is not None and self._clock() < known.until

    def refusal(self, subject: Subject) -> Denial | None:
        """The block's denial if the address has used up its verifications. Otherwise takes one of them and returns
        None, as for an address that is not known to be blocked."""
        known, now = self._addresses.get(subject.name), self._clock()
        if known is None or now >= known.until:
            return None
        # A token bucket that holds the verifications of one second, and refills at that rate.
        known.left = min(VERIFICATIONS_A_SECOND, known.left + (now - known.counted_at) * VERIFICATIONS_A_SECOND)
        known.counted_at = now
        # Used up: the block answers without another verification.
        if known.left < 1.0:
            return known.denial
        known.left -= 1.0
        return None

    def __len__(self) -> int:
        return len(self._addresses)
