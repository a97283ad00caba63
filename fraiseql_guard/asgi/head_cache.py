"""Caches what the head checks let pass, keyed by the parts of a request head that they have declared to read.

Clients send the same head over and over. The address behind it, what its path stands for, and that the head checks let
it pass are the same for all of them, so they are found out once. Token, body and the call to the store are no part of
it: they are decided about every time.

This file alone says which heads are cached, and when an entry is no longer good: what its key is made of (HeadReads),
the generation that it carries, :func:`_concerns_all` and :func:`_is_anonymous`.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from starlette.types import Scope

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.context import RequestContext, first_lines
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.reads import HeadReads
from fraiseql_guard.identity.proxy_headers import by_name, only_proxies_send
from fraiseql_guard.telemetry.trace import request_id, trace_id

_MOST: Final = 1_000
_LONGEST_BYTES: Final = 4_096
_BYTES_PER_HEAD: Final = 1_500
_BODILESS: Final = frozenset({"GET", "HEAD"})
_SCHEME: Final = len(b"Bearer ")
"""Bytes of an Authorization header that are part of the key. No more of it is ever kept."""

READS: Final = HeadReads(headers=frozenset({b"content-length", b"transfer-encoding"}))
"""The parts of a head that tell whether a body may come, which an entry keeps beside the decisions."""


class HeadKey(NamedTuple):
    """Identifies a request's head, and the generation of the settings under which it was described."""

    parts: Hashable
    generation: object


@dataclass(frozen=True, slots=True)
class CachedHead:
    """What is the same for all requests with one head."""

    key: HeadKey
    place: Place
    endpoint: str
    guarded: bool
    address: str
    subject: Subject
    private_peer: bool
    loopback_peer: bool
    trusted_peer: bool
    announces_body: bool
    anonymous: bool
    """Whether it has no credentials, and the token check lets it pass without."""

    @classmethod
    def of(cls, ctx: RequestContext, key: HeadKey, *, anonymous: bool) -> CachedHead:
        """Make the entry of a request that the head checks have let pass."""
        return cls(
            key,
            ctx.place,
            ctx.endpoint,
            ctx.guarded,
            ctx.address,
            ctx.address_subject,
            ctx.private_peer,
            ctx.loopback_peer,
            ctx.trusted_peer,
            _announces_body(ctx.method, ctx.headers),
            anonymous,
        )

    def describe(self, scope: Scope) -> RequestContext:
        """The context of another request with this head."""
        lines = scope["headers"]
        ctx = RequestContext(  # by position: by name it takes three times as long
            scope["method"],
            scope["path"],
            scope.get("query_string") or b"",
            lines,
            first_lines(lines) if self.guarded else None,  # those of others are seldom asked for
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


class RequestHeadCache:
    """The heads that have passed, 1,000 at most, under one set of settings.

    ``reads`` is the union of all parts that any head check reads. Heads from addresses on the ``allow_list``, which may
    change at any time, are never found.
    """

    __slots__ = ("_allow_list", "_kept", "_known", "_whole_query", "generation", "reads")

    def __init__(self, reads: HeadReads, allow_list: Container[str] = ()) -> None:
        self.reads = reads
        self.generation = object()
        """Changes with :meth:`forget`. An entry that was made under another is not found."""
        self._allow_list = allow_list
        self._kept = by_name(self._kept_bytes)
        self._whole_query = reads.query_string
        self._known: Lru[Hashable, CachedHead] = Lru(_MOST)

    def key(self, scope: Scope) -> Hashable:
        """The cache key of a request: all parts of its head that a decision may read. None for an unreadable scope."""
        kept = self._kept
        try:
            client = scope.get("client")
            key = (
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
        except (KeyError, TypeError, IndexError, ValueError):  # the checks see to whatever a server makes of a scope
            return None
        return key

    def _kept_bytes(self, name: bytes) -> int | None:
        """Bytes of a header's value that are part of the key, 0 for its presence alone; None if it is not in the
        key."""
        if name == b"authorization":
            return _SCHEME  # the token check decides about the rest, every time
        if name in self.reads.credentials:
            return 0  # and about these: no part of a key is kept
        if name in self.reads.headers:
            return sys.maxsize
        # Of proxies' headers only whether they came: some differ with every request.
        return 0 if self.reads.proxy_headers and only_proxies_send(name) else None

    def find(self, key: Hashable) -> CachedHead | None:
        """The entry of a key, if it is still good."""
        head = self._known.look(key)
        if head is None or head.key.generation is not self.generation or head.address in self._allow_list:
            return None
        return head

    def learn(self, ctx: RequestContext) -> None:
        """Cache the head of a request that the head checks have let pass, if the result holds for all requests like
        it."""
        self._put(ctx, anonymous=False)

    def learn_anonymous(self, ctx: RequestContext) -> None:
        """Note that the token check has let the request pass too, which holds for all like it if it has no
        credentials."""
        if _is_anonymous(ctx) and self.reads.credentials.isdisjoint(ctx.headers):
            self._put(ctx, anonymous=True)

    def _put(self, ctx: RequestContext, *, anonymous: bool) -> None:
        key = ctx.head_key
        if isinstance(key, HeadKey) and _concerns_all(ctx) and _bytes_of(ctx) <= _LONGEST_BYTES:
            self._known.put(key.parts, CachedHead.of(ctx, key, anonymous=anonymous))

    def forget(self) -> None:
        """Begin a new generation: every head is checked anew, and requests at work cache none."""
        self.generation = object()
        self._known.clear()

    @property
    def size_bytes(self) -> int:
        """Size of the cache, estimated by the number of heads."""
        return len(self._known) * _BYTES_PER_HEAD


def announces_body(ctx: RequestContext) -> bool:
    """Whether a head announces a body. Over HTTP/2 a body may come without an announcement."""
    head: CachedHead | None = ctx.head
    return _announces_body(ctx.method, ctx.headers) if head is None else head.announces_body


def _announces_body(method: str, headers: Mapping[bytes, bytes]) -> bool:
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        return True
    return method not in _BODILESS


def _concerns_all(ctx: RequestContext) -> bool:
    """Whether an entry can hold all that the head checks found out. Rare findings have no field: such requests are
    checked anew each time."""
    caller = ctx.shared_peer or ctx.allow_listed
    form = ctx.cross_site_simple or ctx.page or ctx.preflight or ctx.upload
    place = ctx.for_operator or ctx.own_page
    return not (caller or form or place or ctx.would_refuse)


def _is_anonymous(ctx: RequestContext) -> bool:
    """Whether a request brought no credentials, and the token check found nothing to tell the next checks."""
    found = ctx.identity is not None or ctx.token_failure is not None or ctx.token_pending or ctx.keys_missing
    return not found and b"authorization" not in ctx.headers


def _bytes_of(ctx: RequestContext) -> int:
    """How long a head is, as far as an entry depends on it."""
    return len(ctx.path) + sum(len(name) + len(value) for name, value in ctx.header_lines)
