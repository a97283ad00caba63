"""Declares the parts of a request's head that a decision depends on.

The head cache (asgi/head_cache.py) reuses a decision about one head for the next equal one. Two heads are equal if all
declared parts are; other parts may differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReads:
    """Parts that a decision reads, beside those that every decision may read: the peer, the method, the path in all its
    spellings, and whether there is a query string.

    ``headers`` are names in lower case; of ``authorization`` only its presence and its scheme count, of ``credentials``
    only their presence. ``query_string`` is the text itself. ``proxy_headers`` stands for the presence of headers that
    only proxies send (identity/proxy_headers.py). Decisions that depend on credentials are made with every request, and
    never kept.
    """

    headers: frozenset[bytes] = frozenset()
    credentials: frozenset[bytes] = frozenset()
    proxy_headers: bool = False
    query_string: bool = False

    @classmethod
    def union(cls, all_reads: Iterable[HeadReads]) -> HeadReads:
        """The parts that any of these decisions reads."""
        # An iterator can be read once, and four fields are united.
        each = tuple(all_reads)
        return cls(
            headers=frozenset().union(*(reads.headers for reads in each)),
            credentials=frozenset().union(*(reads.credentials for reads in each)),
            proxy_headers=any(reads.proxy_headers for reads in each),
            query_string=any(reads.query_string for reads in each),
        )
