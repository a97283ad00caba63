"""What is known of a live connection: a WebSocket, or an answer that is streamed. Operators see these values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOperation:
    """An operation that is open on a live connection."""

    name: str = ""
    """That of the document; empty for one without."""
    query_hash: str = ""
    """SHA-256 of the document's text, as log lines carry it."""
    age_seconds: float = 0.0
    events: int = 0
    """Results that were sent to the client so far."""
    request_id: str = ""
    """What log lines carry for it, and what ``why`` is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """A live connection at this moment."""

    id: str
    """Tells it apart within the fleet: the request id of its upgrade, or of the request that is answered."""
    protocol: str
    """A SocketProtocol, or a Transport of streams: what log lines and metrics say."""
    user_id: str
    """The verified user, else ``anonymous``."""
    ip_address: str
    age_seconds: float
    endpoint: str = ""
    operations: Sequence[LiveOperation] = ()
    operations_open: int = 0
    """How many are open, where ``operations`` names only some."""
    messages: int = 0
    """Messages of the client so far."""
    events: int = 0
    """Results that were sent to the client so far, of all its operations."""
    waiting_bytes: int = 0
    """Bytes from or to the client that the process holds."""
    token_ends_at: float | None = None
    """Unix time at which its token expires (exp); None without one."""
    worker: str = ""
    """The worker's id, where those of several are shown."""

    @property
    def weight(self) -> tuple[int, int, int]:
        """What makes one larger than another."""
        return self.operations_open or len(self.operations), self.waiting_bytes, self.events

    def shortened(self, most: int) -> LiveFacts:
        """With at most so many operations one by one."""
        if len(self.operations) <= most:
            return self
        return replace(
            self, operations=self.operations[:most], operations_open=self.operations_open or len(self.operations)
        )
