"""The clocks that a guard reads: its own in production, one that a test moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Call it to read it: seconds."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """``elapsed`` counts seconds and is never set back; ``now`` tells those since 1970."""

    elapsed: Clock = time.monotonic
    now: Clock = time.time

    @classmethod
    def of(cls, clock: Clock | None) -> Clocks:
        """The process's own clocks, or one in place of both."""
        return cls() if clock is None else cls(clock, clock)
