"""The facts about a live connection (a WebSocket, or a streamed answer) that operators see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOperation:
    """An operation that is open on a live connection."""

    name: str = ""
    """The operation's name in the document; ``""`` without one."""
    query_hash: str = ""
    """SHA-256 of the document's text, as log lines carry it."""
    age_seconds: float = 0.0
    events: int = 0
    """Results that were sent to the client so far."""
    request_id: str = ""
    """The operation's request id, as in log lines and for ``fraiseql-guard why``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """A live connection at this moment."""

    id: str
    """Identifies the connection within the fleet: the request id of the upgrade, or of the streamed request."""
    protocol: str
    """The value of a SocketProtocol, or of a Transport for streams, as in log lines and metrics."""
    user_id: str
    """The verified user, else ``anonymous``."""
    ip_address: str
    age_seconds: float
    endpoint: str = ""
    operations: Sequence[LiveOperation] = ()
    operations_open: int = 0
    """Number of open operations, of which ``operations`` may name only some."""
    messages: int = 0
    """Messages of the client so far."""
    events: int = 0
    """Results that were sent to the client so far, of all its operations."""
    waiting_bytes: int = 0
    """Bytes from or to the client that the process holds."""
    token_ends_at: float | None = None
    """Unix time at which its token expires (exp); None without one."""
    worker: str = ""
    """The worker's id, in lists of several workers' connections."""

    @property
    def weight(self) -> tuple[int, int, int]:
        """Sort key by which operators see the heaviest connections first."""
        return self.operations_open or len(self.operations), self.waiting_bytes, self.events

    def shortened(self, most: int) -> LiveFacts:
        """The same facts with at most ``most`` operations named."""
        if len(self.operations) <= most:
            return self
        return replace(
            self, operations=self.operations[:most], operations_open=self.operations_open or len(self.operations)
        )
