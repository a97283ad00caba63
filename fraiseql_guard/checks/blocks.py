"""Refuses callers from addresses and networks that an operator has blocked, with or without a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.core.signals import BLOCKED, PolicyName, Protection
from fraiseql_guard.identity.networks import NetworkSet
from fraiseql_guard.stores.overrides import OverrideKind, Overrides


@dataclass(frozen=True, slots=True)
class _Block:
    networks: NetworkSet
    until: float


class OperatorBlocks:
    """Refuses callers from networks that the control set blocks. Blocks of a single user or address stand in the store,
    where Admission finds them.

    ``protection`` is the protection in whose name and mode requests are refused. ``clock`` counts seconds.
    """

    reads: Final = HeadReads()

    def __init__(
        self, protection: Protection = Protection.RATE_LIMIT, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.protection: Final = protection
        self._clock = clock
        self._all = NetworkSet(())
        self._blocks: tuple[_Block, ...] = ()

    def update(self, control: Overrides) -> None:
        """Take over the blocks of a new control set."""
        now = self._clock()
        found = tuple(control.networks(OverrideKind.BLOCK))
        self._all = NetworkSet(network for network, _ in found)
        self._blocks = tuple(_Block(NetworkSet((network,)), now + entry.expires_in_seconds) for network, entry in found)

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Refuse callers from a blocked network."""
        if not self._all or ctx.address not in self._all:
            return None
        # Several blocks may cover the address: the longest counts.
        until = max(block.until for block in self._blocks if ctx.address in block.networks)
        seconds = max(1.0, until - self._clock())
        return Denial(
            BLOCKED,
            detail=PolicyName.OPERATOR.value,
            retry_after_seconds=seconds,
            protection=self.protection,
            tokens=0,
        )
