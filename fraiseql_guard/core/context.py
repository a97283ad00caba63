"""The state of one request: what checks read, find out and charge. Nothing here knows ASGI."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.measured import Measured, joint_hash
from fraiseql_guard.core.place import NOWHERE, Place
from fraiseql_guard.core.rule_candidates import Candidates, RuleInForce, RuleShare
from fraiseql_guard.core.signals import ANONYMOUS, FailureReason, Protection
from fraiseql_guard.core.statement import Naming
from fraiseql_guard.core.token_buckets import Bucket, Charge


@dataclass(frozen=True, slots=True)
class Books:
    """Identifies where a guard keeps its buckets and metrics. Two guards share those whose identifiers are equal."""

    store: Hashable
    """Identifies the place of its buckets."""
    metrics: Hashable
    """Identifies the place of its metrics."""
    counts: bool
    """Whether plain metrics are mounted, so that every answer is counted."""


IDLE: Final[Any] = object()
"""Stands in RequestContext.before while no app works on the request."""

Told = Literal["answer", "measures", "query", "token"]
"""The parts of a request that a guard may have counted in its metrics."""


class RequestContext:
    """One request on its way through the checks, which add facts and charges to it. The only mutable value of the
    design.

    Attributes keep the class's default until a check sets them, so that a new context costs little. Attributes that
    every request has are slots: an object with more than 30 other attributes takes a dictionary of 1.5 KB.
    """

    __slots__ = (
        "__dict__",
        "_trace_id",
        "address",
        "address_subject",
        "allow_listed",
        "before",
        "body",
        "ended_at",
        "endpoint",
        "guarded",
        "header_lines",
        "loopback_peer",
        "method",
        "operation",
        "path",
        "place",
        "private_peer",
        "query_string",
        "request_id",
        "rewritten",
        "shared_peer",
        "span",
        "status",
        "subject",
    )

    # What its head says.
    socket: bool = False  # the upgrade to a WebSocket
    secure: bool = False  # an upgrade over TLS, as far as the server knows
    subprotocols: Sequence[str] = ()  # subprotocols that an upgrade offers
    subprotocol: str = ""  # the chosen one, for a socket whose messages the guard reads
    preflight: bool = False  # a browser's CORS preflight
    cross_site_simple: bool = False  # any site's page can make its visitor's browser send this request
    upload: bool = False  # a GraphQL multipart request
    page: bool = False  # a browser asking for the GraphiQL page
    for_operator: bool = False  # for the operator's API
    trusted_peer: bool = False  # sent by a proxy that is trusted
    open_to_all: bool = False  # a file of the operator's console, the same for everybody
    operator_refusal: Denial | None = None  # why the user of a genuine token with the right scope is no operator
    actor: str = ""  # the operator who has shown a right token: nothing slows or blocks them
    # Who sends it.
    identity: Identity | None = None  # the verified user; set by identify()
    token_failure: FailureReason | None = None
    token_claims: Mapping[str, Any] | None = None  # of an expired but genuine token
    token_prefix: str | None = None
    credentials: Sequence[str] = ()  # values in the form of Authorization headers, wherever they were sent
    keys_missing: bool = False  # the token may be signed with a key that must be fetched first
    token_pending: bool = False  # a token is missing, and only the body tells whether one is needed
    public_operation: bool = False
    keyed: Subject | None = None  # the key that limits count by; None where it is the subject (limit_subject)
    # The operation that it asks for.
    measured: Measured | None = None
    hashes: tuple[str, ...] = ()  # hex SHA-256 of every document in the request, also of one that was not measured
    query_text: str | None = None  # text of a refused document, where the settings ask for it in log lines
    # The rules that may match it (core/rule_table.py).
    rules: Candidates | None = None  # the rules that its head leaves
    rule: RuleInForce | None = None  # the rule in force, as far as it is known; None: the settings alone
    rule_shares: tuple[RuleShare, ...] = ()  # of a batch whose operations have different rules
    # The decision.
    denial: Denial | None = None  # the refusal in force
    superseded_denial: Denial | None = None  # a check's denial that a sanction or a rate limit took precedence over
    would_refuse: tuple[Denial, ...] = ()  # denials of protections in monitor mode
    repeated: bool = False  # refused from memory, by its head alone
    buckets: tuple[Bucket, ...] = ()  # those that the store was asked about, as it answered
    charges: tuple[Charge, ...] = ()  # added by checks, on top of those of the rate limits
    concurrency_slots: tuple[tuple[str, str], ...] = ()  # held among the operations in flight
    socket_slots: tuple[tuple[str, str], ...] = ()  # held among the open sockets
    subscription_slots: tuple[tuple[str, str], ...] = ()  # held among the open subscriptions
    attempts: tuple[str, ...] | None = None  # logins at work; None where the guard does not see the request's end
    express_seconds: float | None = None  # longest time in an express slot; None without one (checks/concurrency.py)
    ends_at: float | None = None  # when the app will be stopped (time.monotonic); None if it will not
    statement: Naming | None = None  # names the statement that the database runs for this request
    database_timeout: bool = False  # the database stopped a statement of this request
    database_seconds: float | None = None  # time of all its statements; None before the first
    in_flight: int = 0  # its caller's operations at work in this process, this one included; 0 if not counted
    # How it is answered.
    own_page: bool = False  # answered by the guard itself: metrics, health
    enforced: bool = False  # the guard enforces anything
    covered: frozenset[Protection] | None = None  # what inner guards protect this GraphQL path with; None without one
    head_key: Hashable = None  # identifies all requests with the same head
    head: Any = None  # the CachedHead of these requests (asgi/head_cache.py)
    # Outer guards, which have let the same request pass: see nest().
    outer: RequestContext | None = None  # the context that the guard around this one has made
    books: Books | None = None  # of this context's guard; set when an inner guard meets the request
    payers: tuple[RequestContext, ...] = ()  # contexts of outer guards that charge the same store, the nearest first
    told_outside: frozenset[Told] = frozenset()  # what outer guards have counted in the same metrics
    known_by: RequestContext | None = (
        None  # context of the nearest outer guard that authenticates, where this one does not
    )
    credit: dict[Hashable, int] | None = None  # tokens taken here, by bucket, that inner guards need not take again
    unpaid: bool = False  # a bucket was short, and nothing was taken from any
    paid: tuple[Bucket, ...] | None = None  # the buckets that this guard has paid, where outer guards have paid a part
    paid_alone: bool = False  # paid to this process's own buckets, since the store did not answer
    ledger: Any = None  # the Ledger of its payments, once these may change (stores/ledger.py)
    accounts: Any = None  # the Accounts of its guard, set together with books (asgi/accounts.py)
    patience_seconds: float = 0.0  # how long the request would wait for tokens instead of being refused
    in_turn: bool = False  # the request has waited: ask the store, whatever this process remembers
    left: bool = False  # the client left while the request waited
    actual_cost: float | None = None  # in points, as named by the app's answer
    shown: tuple[Bucket, ...] | None = None  # buckets for the answer's headers, where inner guards have added theirs
    # Operations and initializations over a socket: see child().
    carrier: RequestContext | None = None  # the socket's own context
    operation_id: str = ""  # the client's id of an operation
    untimed: bool = False  # its duration means nothing: a subscription that ended without an event
    # The outcome.
    auth_failed: bool = False  # the app, or an inner guard, did not accept the caller's credentials
    refused_inside: bool = False  # an inner guard has refused the request, and counts it
    request_bytes: int = 0
    response_bytes: int = 0

    def __init__(
        self,
        method: str,
        path: str,
        query_string: bytes,
        header_lines: Sequence[tuple[bytes, bytes]],
        headers: Mapping[bytes, bytes] | None,
        guarded: bool,
        request_id: str,
        trace_id: Callable[[str | None, Any], str],
        endpoint: str,
        address: str,
        address_subject: Subject,
        shared_peer: bool = False,
        private_peer: bool = False,
        loopback_peer: bool = False,
        allow_listed: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.header_lines = header_lines
        if headers is not None:
            self.headers = headers
        self.guarded = guarded  # a GraphQL path
        self.operation = guarded  # a GraphQL request, not a browser's preflight or a page
        self.request_id = request_id
        self._trace_id: str | Callable[[str | None, Any], str] = trace_id
        self.endpoint = endpoint
        self.address = address  # exact canonical client address, for logs
        self.address_subject = address_subject
        self.subject = address_subject  # the verified user, else the client's address
        self.shared_peer = shared_peer  # an untrusted proxy: callers behind it look alike
        self.private_peer = private_peer  # on a private or loopback address, and no proxy
        self.loopback_peer = loopback_peer  # on a loopback address, and no proxy
        self.allow_listed = allow_listed  # not counted, and never blocked automatically
        self.place: Place = NOWHERE  # the meaning of its path
        self.body: bytes | None = None
        self.rewritten: bytes | None = None  # replaces the body, or the query string of a GET, for the app
        self.before: RequestContext | None = IDLE  # while the app works on this: the request that called it, if any
        # The OpenTelemetry span that traces it, "" for none: another one is active where the request is recorded.
        self.span: Any = None
        self.ended_at = 0.0  # when its answer was complete, in seconds since 1970; 0 as long as it is not
        self.status = 0

    @cached_property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request's headers by name, in lower case; the first line of each name."""
        return first_lines(self.header_lines)

    def drop_headers(self) -> None:
        """Drop the parsed headers, which take memory while a socket lives for days. They are parsed again if asked
        for."""
        self.__dict__.pop("headers", None)

    def child(
        self, request_id: str, lines: Sequence[tuple[bytes, bytes]], headers: Mapping[bytes, bytes]
    ) -> RequestContext:
        """A context for a message over this socket, as for a POST of the same caller with this head."""
        ctx = RequestContext(  # by position: by name it takes three times as long
            "POST",
            self.path,
            b"",
            lines,
            headers,
            self.guarded,
            request_id,
            self._trace_of_parts,
            self.endpoint,
            self.address,
            self.address_subject,
            self.shared_peer,
            self.private_peer,
            self.loopback_peer,
            self.allow_listed,
        )
        ctx.place, ctx.carrier, ctx.trusted_peer = self.place, self, self.trusted_peer
        ctx.identity, ctx.subject, ctx.known_by = self.identity, self.subject, self.known_by
        ctx.token_failure, ctx.token_pending = self.token_failure, self.token_pending
        ctx.credentials = self.credentials
        ctx.keyed = self.keyed
        return ctx

    def _trace_of_parts(self, _traceparent: str | None, _span: Any) -> str:
        """The trace id of messages over a socket: the socket's own."""
        return self.trace_id

    @property
    def trace_id(self) -> str:
        """The trace id, for logs. Found out at the first use, since most requests never need it."""
        if not isinstance(self._trace_id, str):
            self._trace_id = self._trace_id(self.header(b"traceparent") or None, self.span)
        return self._trace_id

    @property
    def client_request_id(self) -> str | None:
        """The X-Request-ID that a trusted proxy has sent, for logs; None without one."""
        return (self.header(b"x-request-id") or None) if self.trusted_peer else None

    def header(self, name: bytes) -> str:
        """The first line of a request header, ``""`` without one."""
        return self.headers.get(name, b"").decode("latin-1")

    def lines(self, name: bytes) -> list[str]:
        """All lines of a request header."""
        return [value.decode("latin-1") for key, value in self.header_lines if key == name]

    def from_origin_of(self, origins: Sequence[str]) -> bool:
        """Whether a page of one of these origins has sent the request; ``*`` stands for all pages."""
        origin = self.headers.get(b"origin")
        return origin is not None and ("*" in origins or origin.decode("latin-1") in origins)

    def nest(self, outer: RequestContext, books: Books, *, authenticates: bool) -> None:
        """Take over from the outer guard's context of the same request: its id, its user, its payments, what it has
        counted.

        ``books`` and ``authenticates`` are those of this guard.
        """
        self.outer = outer
        self.request_id = outer.request_id
        self._trace_id = lambda *_: outer.trace_id
        if not authenticates:
            self.known_by = outer.known_by or outer
        around = [(each, each.books) for each in outers(self) if each.books is not None]
        self.payers = tuple([each for each, theirs in around if theirs.store == books.store])
        told: set[Told] = set()
        for each, theirs in around:
            if theirs.metrics == books.metrics:
                told |= _counted_of(each, counts=theirs.counts)
        self.told_outside = frozenset(told)

    def identify(self, identity: Identity | None) -> None:
        """Set the verified user, and the subject with it; None: the request turns out to have no user."""
        self.identity = identity
        self.subject = identity.subject if identity is not None else self.address_subject

    @property
    def limit_subject(self) -> Subject:
        """The subject whose buckets pay: ``subject``, unless the deployment counts by another key. Sanctions and
        offences belong to ``subject`` in any case."""
        return self.keyed or self.subject

    @property
    def short_key(self) -> str | None:
        """The key whose bucket is short, for logs; ``user`` or ``address`` where the bucket is one that the caller pays
        beside the key. None where limits count by no other key."""
        if self.keyed is None or not self.buckets:
            return None
        short = max(self.buckets, key=lambda bucket: bucket.retry_after_seconds)
        if short.charge.own:
            return self.subject.kind
        return self.keyed.name if self.keyed.kind == "key" else f"{self.keyed.kind}:{self.keyed.name}"

    @property
    def looks_alike(self) -> bool:
        """Whether this caller shares a bucket with all callers behind the same untrusted proxy."""
        return self.shared_peer and self.limit_subject is self.address_subject

    @property
    def query_hash(self) -> str | None:
        """The hex SHA-256 of the document's text, for logs; of a batch, of its documents' hashes.

        None if the request has no readable text.
        """
        return self.hashes[0] if len(self.hashes) == 1 else joint_hash(self.hashes)

    @property
    def verified(self) -> Identity | None:
        """The verified user that the app sees: of this guard or, where it does not authenticate, of the nearest outer
        one."""
        return self.identity if self.known_by is None else self.known_by.identity

    @property
    def user_id(self) -> str:
        """The verified user, else ``anonymous``, for logs and labels."""
        identity = self.verified
        return identity.user_id if identity else ANONYMOUS


def outers(ctx: RequestContext) -> Iterator[RequestContext]:
    """The contexts of the same request in outer guards, the nearest first."""
    outer = ctx.outer
    while outer is not None:
        yield outer
        outer = outer.outer


def everywhere(ctx: RequestContext) -> Iterator[RequestContext]:
    """The context, and those of the same request in outer guards."""
    yield ctx
    yield from outers(ctx)


def _counted_of(ctx: RequestContext, *, counts: bool) -> set[Told]:
    """The parts of a request that a guard has counted after letting it pass."""
    found: dict[Told, object] = {
        "answer": counts,
        "measures": ctx.measured is not None,
        "query": ctx.operation,
        "token": ctx.identity is not None,
    }
    return {name for name, told in found.items() if told}


def first_lines(lines: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """The first line of each header."""
    return dict(lines[::-1]) if isinstance(lines, list) else dict(reversed(lines))
