"""Whole requests that passed twice: who asks the same again, byte for byte, is not read again.

Dashboards that poll and pages that all visitors open repeat their requests without a change. What is remembered holds
as long as nothing else plays a part than what was sent and the settings, which a reader never changes: the readings of
documents that are named or registered (they belong to callers and come and go), of uploads, and of whatever was refused
or noted are not kept. Nor are those of mutations, which seldom repeat and carry what should lie nowhere: passwords.

Of what was asked once there is a number alone: it costs less than to keep it, and a caller who asks something new each
time pushes nothing out.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.lru import Lru
from fraiseql_guard.graphql.analyzer import RequestAnalysis

Sent = tuple[str, str, bytes, bytes, bool]
"""All that a reading depends on: method, Content-Type, query string, body, and whether the caller is authenticated."""

LONGEST: Final = 4096
"""Bytes of a request that is remembered. Longer ones cost more to compare, and could fill the memory."""
_BYTES_PER_REQUEST: Final = 1536
"""What one takes besides its bytes, estimated on the safe side."""
_MOST_SEEN: Final = 4096
_BYTES_PER_SEEN: Final = 100


class RequestCache:
    """A bounded memory of readings; the least recently used leaves first. ``find`` has that of the same request."""

    __slots__ = ("_readings", "_seen", "find")

    def __init__(self, *, max_entries: int = 1000, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._readings: Lru[Sent, RequestAnalysis] = Lru(max_entries, max_bytes=max_bytes)
        self.find: Final = self._readings.get  # not wrapped: every request passes here
        # Hashes of requests that may be remembered if they come again. Where two have the same, one is kept too early.
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._readings)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes held."""
        return self._readings.size_bytes + len(self._seen) * _BYTES_PER_SEEN

    def note(self, sent: Sent, reading: RequestAnalysis) -> None:
        """Take notice of what became of a request; remember it if it is one to be remembered and comes again."""
        measured = reading.measured
        if measured is None or measured.kind == "mutation" or reading.denial is not None or reading.noted is not None:
            return
        number = hash(sent)
        if number in self._seen:
            _, content_type, query_string, body, _ = sent
            size = len(content_type) + len(query_string) + len(body)
            if size <= LONGEST:
                self._readings.put_sized(sent, reading, _BYTES_PER_REQUEST + size)
            return
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(number)

    def items(self) -> list[tuple[Sent, RequestAnalysis]]:
        """All that is remembered, as it is now."""
        return list(self._readings.items())

    def forget(self) -> None:
        """Empty the memory."""
        self._readings.clear()
        self._seen.clear()
