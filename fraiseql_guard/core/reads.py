"""What of a request's head a decision depends on.

What was found out about one head is kept for the next one like it (asgi/head_cache.py). Which heads are alike is
decided by what everything that looks at a head declares here: a part that none declares is a part that may differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReads:
    """Parts that a decision reads, beside those that tell every two heads apart: the peer, the method, the path in all
    its spellings, and whether there is a query string.

    ``headers``: by name, in lower case. Of ``authorization`` that is whether it came, and its scheme. ``query_string``:
    the text itself. ``proxy_headers``: which headers came that only proxies send (identity/proxy_headers.py). What
    depends on the credentials in a header is decided with every request and never kept.
    """

    headers: frozenset[bytes] = frozenset()
    proxy_headers: bool = False
    query_string: bool = False

    @classmethod
    def union(cls, all_reads: Iterable[HeadReads]) -> HeadReads:
        """What any of them reads."""
        each = tuple(all_reads)
        return cls(
            headers=frozenset().union(*(reads.headers for reads in each)),
            proxy_headers=any(reads.proxy_headers for reads in each),
            query_string=any(reads.query_string for reads in each),
        )
