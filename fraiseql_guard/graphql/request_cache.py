"""Caches the analyses of whole requests, keyed by their bytes.

Dashboards that poll, and pages that all visitors open, repeat their requests without a change. An analysis is kept only
if it depends on nothing but what was sent and the settings, which a reader never changes. So those of documents that
are named or registered (they belong to callers and come and go), of uploads, and of what was refused or noted are not
kept. Nor are those of mutations, which seldom repeat and may carry passwords.

A request is cached when it comes for the second time. Of the first there is its hash alone: that costs less, and a
caller who asks for something new each time pushes nothing out.
"""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.rule_candidates import Candidates
from fraiseql_guard.graphql.analyzer import RequestAnalysis

SentRequest = tuple[str, str, bytes, bytes, bool, Candidates | None]
"""All that an analysis depends on: method, Content-Type, query string, body, whether the caller is authenticated, and
the rules that the head leaves."""

LONGEST: Final = 4096
"""Bytes of a request that is cached. Longer ones cost more to compare, and could fill the memory."""
_BYTES_PER_REQUEST: Final = 1536
"""Memory of a cached request besides its bytes, estimated on the safe side."""
_MOST_SEEN: Final = 4096
_BYTES_PER_SEEN: Final = 100


class RequestCache:
    """Holds analyses in bounds; the least recently used leaves first. ``find`` returns that of the same request."""

    __slots__ = ("_analyses", "_seen", "find")

    def __init__(self, *, max_entries: int = 1000, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._analyses: Lru[SentRequest, RequestAnalysis] = Lru(max_entries, max_bytes=max_bytes)
        self.find: Final = self._analyses.get  # not wrapped: every request passes here
        # Hashes of requests that are cached if they come again. Where two have the same, one is cached too early.
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._analyses)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes held."""
        return self._analyses.size_bytes + len(self._seen) * _BYTES_PER_SEEN

    def note(self, sent: SentRequest, analysis: RequestAnalysis) -> None:
        """Take notice of what became of a request; cache it if it may be cached and has come before."""
        if not _may_repeat(analysis):
            return
        # Python's string hashes are keyed per process: no caller can make others collide.
        number = hash(sent)
        if number in self._seen:
            self._put(sent, analysis)
            return
        # Emptied as a whole: to keep an order would cost every request more than a few that are noted twice.
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(number)

    def _put(self, sent: SentRequest, analysis: RequestAnalysis) -> None:
        _, content_type, query_string, body, *_ = sent
        size = len(content_type) + len(query_string) + len(body)
        if size <= LONGEST:
            self._analyses.put_sized(sent, analysis, _BYTES_PER_REQUEST + size)

    def items(self) -> list[tuple[SentRequest, RequestAnalysis]]:
        """All that is cached, as it is now."""
        return list(self._analyses.items())

    def forget(self) -> None:
        """Empty the cache."""
        self._analyses.clear()
        self._seen.clear()


def _may_repeat(analysis: RequestAnalysis) -> bool:
    """Whether the analysis of the same request will be the same, and may be kept."""
    if analysis.measured is None or analysis.denial is not None or analysis.noted is not None:
        return False
    return analysis.measured.kind != "mutation"
