"""Heads of requests that were judged before: who comes again like that is known at a look.

Where a request comes from, whether its path speaks GraphQL, and what the gates make of its head alone depends on
little of it, and clients send the same head over and over. So what was found out is kept for those that passed, and
the next one with the same head begins where they stood: before its token, its body, and its trip to the store, which
are asked about every time. Finding all of it out again was a third of the guard's bill, more where caches are cold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from copy import copy
from typing import Any, Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext, first_lines
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.identity.proxy_headers import by_name, only_proxies_send
from fraiseql_guard.stores.protocol import AdmitRequest
from fraiseql_guard.telemetry.trace import request_id, trace_id

_MOST: Final = 1_000
_LONGEST_BYTES: Final = 4_096
_BYTES_PER_HEAD: Final = 1_500
_BODILESS: Final = frozenset({"GET", "HEAD"})
_SCHEME: Final = len(b"Bearer ")
"""So much of a header with credentials plays a part here. No more of one is ever kept."""

READS: Final = HeadReads(headers=frozenset({b"content-length", b"transfer-encoding"}))
"""What is looked at here: whether a body may come, and whether it says itself that it is too long."""


def announces_body(ctx: RequestContext) -> bool:
    """Whether a head makes a body likely. HTTP/2 announces nothing: one may come all the same."""
    headers = ctx.headers
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        return True
    return ctx.method not in _BODILESS


class CachedHead:
    """What was found out about requests with one head. ``trip`` is what the next one asks of the store, where its head
    alone decides that. ``fits``: the body that it announces is not too long."""

    __slots__ = (
        "address",
        "endpoint",
        "fits",
        "guarded",
        "key",
        "loopback_peer",
        "place",
        "plain",
        "private_peer",
        "subject",
        "trip",
        "trusted_peer",
    )

    def __init__(self, ctx: RequestContext, *, plain: bool) -> None:
        self.plain = plain
        self.key = ctx.head_key
        self.guarded = ctx.guarded
        self.place = ctx.place
        self.endpoint = ctx.endpoint
        self.address = ctx.address
        self.subject: Subject = ctx.address_subject
        self.private_peer = ctx.private_peer
        self.loopback_peer = ctx.loopback_peer
        self.trusted_peer = ctx.trusted_peer
        self.fits = False
        self.trip: AdmitRequest | None = None

    def describe(self, scope: Any) -> RequestContext:
        """The context of another request with this head."""
        lines = scope["headers"]
        ctx = RequestContext(  # by position: by name it takes three times as long
            scope["method"],
            scope["path"],
            scope.get("query_string") or b"",
            lines,
            None if self.plain else first_lines(lines),  # those of a plain one are not asked for
            self.guarded,
            request_id(),
            trace_id,
            self.endpoint,
            self.address,
            self.subject,
            False,
            self.private_peer,
            self.loopback_peer,
        )
        ctx.place, ctx.head, ctx.head_key = self.place, self, self.key
        if self.trusted_peer:
            ctx.trusted_peer = True
        return ctx

    def without_trip(self) -> CachedHead:
        """The same, but for what such a request asks of the store."""
        other = copy(self)
        other.trip = None
        return other


class RequestHeadCache:
    """The heads that are known, 1,000 at most: those of one stack. ``reads`` is what everything in it reads of a head.

    A key belongs to the generation in which it was made: :meth:`forget` begins another, so that what a request puts
    under its key, here or elsewhere, is never found by one that came after an operator has said something else.
    """

    __slots__ = ("_generation", "_kept", "_known", "_whole_query", "find", "reads")

    def __init__(self, reads: HeadReads) -> None:
        self.reads = reads
        self._kept = by_name(self._kept_bytes)
        self._whole_query = reads.query_string
        self._generation = object()
        self._known: Lru[Hashable, CachedHead] = Lru(_MOST)
        self.find: Callable[[Hashable], CachedHead | None] = self._known.look
        """What is known of a head."""

    def key(self, scope: Any) -> Hashable:
        """All that may be known by a head; None of what a server has made unreadable."""
        kept = self._kept
        try:
            client = scope.get("client")
            key = (
                self._generation,
                client[0] if client and client[1] else client,  # port 0: a server has put it there (identity)
                scope["method"],
                scope["path"],
                scope.get("raw_path"),
                scope.get("root_path"),
                scope.get("query_string") if self._whole_query else not scope.get("query_string"),
                tuple(
                    [(name, value[:length]) for name, value in scope["headers"] if (length := kept[name]) is not None]
                ),
            )
            hash(key)  # a part of it may be no key
        except (KeyError, TypeError, IndexError, ValueError):  # whatever a server makes of a scope: the gates see to it
            return None
        return key

    def _kept_bytes(self, name: bytes) -> int | None:
        """How much of a header is a part of the key; None if it plays none."""
        if name == b"authorization":
            return _SCHEME  # whose it is asks another gate
        if name in self.reads.headers:
            return sys.maxsize
        # Of proxies' headers only whether they came: some differ with every request.
        return 0 if self.reads.proxy_headers and only_proxies_send(name) else None

    def learn(self, ctx: RequestContext, *, plain: bool) -> None:
        """The gates have let a head pass. ``plain``: there is no more to it (asgi/plain_handler.py).
        What is special about one is found out anew every time."""
        key = ctx.head_key
        special = (
            ctx.shared_peer or ctx.allow_listed or ctx.cross_site_simple or ctx.page or ctx.preflight or ctx.upload
            or ctx.for_operator or ctx.own_page or ctx.would_refuse
        )  # fmt: skip
        if key is None or special or _bytes_of(ctx) > _LONGEST_BYTES:
            return
        head = ctx.head = CachedHead(ctx, plain=plain)
        self._known.put(key, head)

    def forget(self) -> None:
        """Judge everybody anew."""
        self._generation = object()
        self._known.clear()

    @property
    def size_bytes(self) -> int:
        """What is kept, estimated by the number of heads."""
        return len(self._known) * _BYTES_PER_HEAD


def _bytes_of(ctx: RequestContext) -> int:
    """How long a head is, as far as it counts here."""
    return len(ctx.path) + sum(len(name) + len(value) for name, value in ctx.header_lines)
