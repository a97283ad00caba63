"""Reports a worker's live connections for its heartbeat: their numbers, and the largest connections."""

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
"""Most connections that are reported one by one."""
_MINUTE_SECONDS: Final = 60.0
_CLOSED_SECONDS: Final = 300.0
_HOLDERS: Final = 5
"""Most callers that are reported."""
_FEW: Final = 200
_PAUSE_SECONDS: Final = 5.0
"""Least time between two surveys of more than _FEW connections, which block the event loop."""
_OPERATIONS: Final = 5
"""Most operations of one connection that are reported one by one."""


class ReportedConnection(Protocol):
    """A live connection as the report reads it."""

    @property
    def ctx(self) -> RequestContext:
        """The context of its request."""
        ...

    def facts(self) -> LiveFacts:
        """The facts that operators see."""
        ...


class ConnectionCounts(Protocol):
    """Counts of a process's live connections since its start."""

    @property
    def open(self) -> Mapping[str, int]:
        """Numbers of open WebSockets by protocol, and of subscriptions in streamed answers."""
        ...

    @property
    def opened_in_all(self) -> int:
        """Number of WebSockets that were opened."""
        ...

    @property
    def closed_in_all(self) -> Mapping[str, int]:
        """Numbers of WebSockets that were closed, by reason."""
        ...


class LiveReport:
    """Reports the live connections of one process. ``tally`` counts them since its start. ``clock`` counts seconds."""

    def __init__(
        self,
        connections: Collection[ReportedConnection],
        tally: ConnectionCounts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections, self._tally, self._clock = connections, tally, clock
        self._seen: deque[tuple[float, int, Mapping[str, int]]] = deque()
        self._looked_at: float | None = None
        self._largest: Sequence[LiveFacts] = ()
        self._holders: Sequence[SocketHolder] = ()

    def numbers(self) -> Live:
        """The numbers of open connections, of those opened in the last minute, and of those closed in the last five
        minutes, by reason."""
        self._survey()
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
        """The connections with the most operations and bytes, at most ``count``, as of at most some seconds ago."""
        self._survey()
        return self._largest[:count]

    def _survey(self) -> None:
        """Survey all connections, unless that was done just before: find the largest, and the callers with most."""
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
    """The facts shortened for a heartbeat, with the end of the token."""
    ends_at = None if ctx.identity is None else ctx.identity.expires_at
    return replace(facts.shortened(_OPERATIONS), token_ends_at=ends_at)
