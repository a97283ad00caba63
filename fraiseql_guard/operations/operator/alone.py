"""What one worker knows by itself while the store does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from fraiseql_guard.core.context import Sanction
from fraiseql_guard.operations.operator.blocks import block_of, told_block
from fraiseql_guard.operations.operator.interface import Alone, Block, Refusal
from fraiseql_guard.operations.operator.offenders import offenders_among
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.stores.overrides import OverrideKind, Overrides

_SHOWN: Final = 100
"""Most callers, refusals and sanctions that are told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKnowledge:
    """Where a process finds what it knows without asking the store."""

    heartbeat: Callable[[], Heartbeat]
    """What it would say of itself now."""
    control: Callable[[], Overrides]
    """What operators have said, as last heard."""
    sanctions: Callable[[], Awaitable[Sequence[Sanction]]]
    """Those that it has met or imposed."""
    refusals: Callable[[int], Sequence[Refusal]]
    """Those that it could not write, the newest first."""


async def alone(own: OwnKnowledge, beat: Heartbeat, control: Overrides) -> Alone:
    """What a worker knows besides its own heartbeat and the overrides in force."""
    sanctions = await own.sanctions()
    networks = list(control.networks(OverrideKind.BLOCK))
    held: list[Block] = [
        *(block_of(each) for each in nlargest(_SHOWN, sanctions, key=lambda each: each.expires_in_seconds)),
        *(told_block(known, entry) for known, entry in networks),
    ]
    return Alone(
        worker=beat.worker.id,
        sanctions=len(sanctions) + len(networks),
        blocks=nlargest(_SHOWN, held, key=lambda each: each.expires_in_seconds),
        offenders=offenders_among([beat], _SHOWN),
        refusals=own.refusals(_SHOWN),
    )
