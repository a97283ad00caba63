"""Caches the analyses of whole requests, keyed by their bytes.

Dashboards that poll, and pages that all visitors open, repeat their requests byte for byte. An analysis is cached only
if it depends on nothing but the request and the settings. So requests with named or registered documents (which come
and go), uploads, and requests with a denial, enforced or monitored, are not cached. Nor are mutations, which seldom
repeat and may carry passwords.

A request is cached when it comes for the second time. The first time only its hash is kept: that costs less, and a
caller who asks for something new each time pushes nothing out.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.rule_candidates import Candidates
from fraiseql_guard.graphql.analyzer import RequestAnalysis

SentRequest = tuple[str, str, bytes, bytes, bool, Candidates | None]
"""Everything that an analysis depends on: method, Content-Type, query string, body, whether the caller is
authenticated, and the rules that may apply by the request's head."""

LONGEST: Final = 4096
"""Largest request that is cached, in bytes. Longer ones cost more to compare, and could fill the memory."""
_BYTES_PER_REQUEST: Final = 1536
"""Memory of a cached request besides its bytes, estimated on the safe side."""
_MOST_SEEN: Final = 4096
_BYTES_PER_SEEN: Final = 100


class RequestCache:
    """A bounded cache of analyses; the least recently used leaves first. ``find`` returns the analysis of a request, or
    None."""

    __slots__ = ("_analyses", "_seen", "find")

    def __init__(self, *, max_entries: int = 1000, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._analyses: Lru[SentRequest, RequestAnalysis] = Lru(max_entries, max_bytes=max_bytes)
        self.find: Final = self._analyses.get  # not wrapped: every request passes here
        # Hashes of requests that came once. Of two requests with one hash the second is cached too early.
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._analyses)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes held."""
        return self._analyses.size_bytes + len(self._seen) * _BYTES_PER_SEEN

    def note(self, sent: SentRequest, analysis: RequestAnalysis) -> None:
        """Cache the analysis of a request, if it may be cached and the request came before; else keep its hash."""
        if not _may_repeat(analysis):
            return
        # Python's string hashes are keyed per process: no caller can make others collide.
        number = hash(sent)
        if number in self._seen:
            self._put(sent, analysis)
            return
        # Emptied as a whole: to drop the oldest hash would cost every request more than a few late caches do.
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(number)

    def _put(self, sent: SentRequest, analysis: RequestAnalysis) -> None:
        _, content_type, query_string, body, *_ = sent
        size = len(content_type) + len(query_string) + len(body)
        if size <= LONGEST:
            self._analyses.put_sized(sent, analysis, _BYTES_PER_REQUEST + size)

    def items(self) -> list[tuple[SentRequest, RequestAnalysis]]:
        """A copy of all entries."""
        return list(self._analyses.items())

    def forget(self) -> None:
        """Empty the cache."""
        self._analyses.clear()
        self._seen.clear()


def _may_repeat(analysis: RequestAnalysis) -> bool:
    """Whether an equal request would have an equal analysis, and may repeat."""
    if analysis.measured is None or analysis.denial is not None or analysis.noted is not None:
        return False
    return analysis.measured.kind != "mutation"
