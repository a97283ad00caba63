"""What a worker tells of its live connections with its heartbeat: numbers, and the largest of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from typing import Final, Protocol

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.live_facts import LiveFacts
from fraiseql_guard.operations.operator.shared_values import Live, SocketHolder

LARGEST: Final = 20
"""Connections that are told of one by one."""
_MINUTE_SECONDS: Final = 60.0
_CLOSED_SECONDS: Final = 300.0
_HOLDERS: Final = 5
"""Callers that are told of."""
_FEW: Final = 200
_PAUSE_SECONDS: Final = 5.0
"""Where there are more than a few, they are looked at only so often: that takes time in which nothing is served."""
_OPERATIONS: Final = 5
"""Operations of one connection that are told of one by one."""


class Telling(Protocol):
    """A live connection that tells of itself."""

    @property
    def ctx(self) -> RequestContext:
        """What is known of it."""
        ...

    def facts(self) -> LiveFacts:
        """What an operator sees of it."""
        ...


class Tally(Protocol):
    """What a process has counted so far."""

    @property
    def open(self) -> Mapping[str, int]:
        """WebSockets by their protocol, and subscriptions that other answers carry."""
        ...

    @property
    def opened_in_all(self) -> int:
        """WebSockets that were opened."""
        ...

    @property
    def closed_in_all(self) -> Mapping[str, int]:
        """WebSockets that were closed, by reason."""
        ...


class LiveReport:
    """Reports of one process. ``tally`` returns what it has counted so far. ``clock`` counts seconds."""

    def __init__(
        self,
        connections: Collection[Telling],
        tally: Tally,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections, self._tally, self._clock = connections, tally, clock
        self._seen: deque[tuple[float, int, Mapping[str, int]]] = deque()
        self._looked_at: float | None = None
        self._largest: Sequence[LiveFacts] = ()
        self._holders: Sequence[SocketHolder] = ()

    def numbers(self) -> Live:
        """How many are open, and what became of others lately."""
        self._look()
        now, tally = self._clock(), self._tally
        opened_in_all, closed_in_all = tally.opened_in_all, tally.closed_in_all
        self._seen.append((now, opened_in_all, closed_in_all))
        while self._seen[0][0] < now - _CLOSED_SECONDS:
            self._seen.popleft()
        before = self._seen[0][2]
        opened = next(count for at, count, _ in self._seen if at >= now - _MINUTE_SECONDS)
        closed = {reason: count - before.get(reason, 0) for reason, count in closed_in_all.items()}
        return Live(
            open={name: count for name, count in tally.open.items() if count},
            opened_last_minute=opened_in_all - opened,
            closed={reason: count for reason, count in closed.items() if count},
            holders=self._holders,
        )

    def largest(self, count: int = LARGEST) -> Sequence[LiveFacts]:
        """Those with the most operations and bytes, as they are now or were some seconds ago."""
        self._look()
        return self._largest[:count]

    def _look(self) -> None:
        """Look at all connections, if it is time: for the largest, and for those who have the most."""
        now, few = self._clock(), len(self._connections) <= _FEW
        if self._looked_at is not None and not few and now < self._looked_at + _PAUSE_SECONDS:
            return
        self._looked_at = now
        told = [(each.facts(), each.ctx) for each in self._connections]
        largest = nlargest(LARGEST, told, key=lambda each: each[0].weight)
        self._largest = [_shown(facts, ctx) for facts, ctx in largest]
        callers = Counter((facts.user_id, facts.ip_address) for facts, _ in told)
        self._holders = [
            SocketHolder(user_id=user_id, ip_address=ip_address, open=count)
            for (user_id, ip_address), count in callers.most_common(_HOLDERS)
        ]


def _shown(facts: LiveFacts, ctx: RequestContext) -> LiveFacts:
    """The facts as a heartbeat has room for them, and when the token is over."""
    ends_at = None if ctx.identity is None else ctx.identity.expires_at
    return replace(facts.shortened(_OPERATIONS), token_ends_at=ends_at)
