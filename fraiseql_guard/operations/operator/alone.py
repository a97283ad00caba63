"""Reports from one worker's own knowledge while the store does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.operations.operator.blocks import block_of, network_block
from fraiseql_guard.operations.operator.interface import Alone, Block
from fraiseql_guard.operations.operator.offenders import offenders_among
from fraiseql_guard.operations.operator.records import Heartbeat
from fraiseql_guard.operations.operator.shared_values import Refusal
from fraiseql_guard.stores.overrides import OverrideKind, Overrides

_SHOWN: Final = 100
"""Callers, refusals and sanctions that are shown at most, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKnowledge:
    """The parts of a process that know something without asking the store."""

    heartbeat: Callable[[], Heartbeat]
    """Returns the heartbeat that it would write now."""
    control: Callable[[], Overrides]
    """Returns the overrides in force, as last read from the store."""
    sanctions: Callable[[], Awaitable[Sequence[Sanction]]]
    """Returns the sanctions that it has met or imposed."""
    refusals: Callable[[int], Sequence[Refusal]]
    """Returns so many refusals that it could not write yet, the newest first."""


async def alone(own: OwnKnowledge, beat: Heartbeat, control: Overrides) -> Alone:
    """What a worker knows besides its heartbeat (``beat``) and the overrides in force (``control``)."""
    sanctions = await own.sanctions()
    networks = list(control.networks(OverrideKind.BLOCK))
    held: list[Block] = [
        *(block_of(each) for each in nlargest(_SHOWN, sanctions, key=lambda each: each.expires_in_seconds)),
        *(network_block(known, entry) for known, entry in networks),
    ]
    return Alone(
        worker=beat.worker.id,
        sanctions=len(sanctions) + len(networks),
        blocks=nlargest(_SHOWN, held, key=lambda each: each.expires_in_seconds),
        offenders=offenders_among([beat], _SHOWN),
        refusals=own.refusals(_SHOWN),
    )
