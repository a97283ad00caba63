"""What is known of one request.

Checks read a :class:`RequestContext`, and add facts and charges to it. Nothing here knows ASGI.
"""

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
from fraiseql_guard.core.signals import ANONYMOUS, FailureReason
from fraiseql_guard.core.statement import Naming
from fraiseql_guard.core.token_buckets import Bucket, Charge


@dataclass(frozen=True, slots=True)
class Books:
    """Where a guard keeps what it counts. Two guards share what is equal in both."""

    store: Hashable
    """Where its buckets are."""
    metrics: Hashable
    """Where its metrics are."""
    counts: bool
    """Whether every answer is counted there (plain metrics)."""


IDLE: Final[Any] = object()
"""Stands in RequestContext.before while no app works on the request."""

Told = Literal["answer", "measures", "query", "token"]
"""What a guard has counted of a request that it let pass."""


class RequestContext:
    """One request on its way through the checks. It is the only mutable value: checks add what they find out.

    Attributes that nothing has been found out about yet are the class's, so that making a request costs little. Those
    that every request has are slots: an object with more than 30 others takes a dictionary, of 1.5 KB.
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
    subprotocols: Sequence[str] = ()  # what an upgrade offers to speak
    subprotocol: str = ""  # what is chosen among them for a socket that the guard reads
    preflight: bool = False  # a browser's CORS preflight
    cross_site_simple: bool = False  # a page of any site can make its visitor's browser send this
    upload: bool = False  # a GraphQL multipart request
    page: bool = False  # a browser asking for the GraphiQL page
    for_operator: bool = False  # for the operator's API
    trusted_peer: bool = False  # sent by a proxy that is trusted
    open_to_all: bool = False  # a file of the operator's console, the same for everybody
    operator_refusal: Denial | None = None  # why the user of a genuine token with the right scope is no operator
    actor: str = ""  # the operator who has shown a right token: nothing slows or blocks them
    # Who sends it.
    identity: Identity | None = None  # see identify()
    token_failure: FailureReason | None = None
    token_claims: Mapping[str, Any] | None = None  # of an expired but genuine token
    token_prefix: str | None = None
    credentials: Sequence[str] = ()  # what Authorization headers hold, or would hold
    keys_missing: bool = False  # the token may be signed with a key that must be fetched first
    token_pending: bool = False  # a token is missing, and only the body tells whether one is needed
    public_operation: bool = False
    keyed: Subject | None = None  # see limit_subject
    # What it asks for.
    measured: Measured | None = None
    hashes: tuple[str, ...] = ()  # hex SHA-256 of every document in the request, also of one that was not measured
    query_text: str | None = None  # of a document that is refused, where lines are to carry it
    # What holds for it (core/rule_table.py).
    rules: Candidates | None = None  # that its head leaves
    rule: RuleInForce | None = None  # the rule as far as it is known; None: the settings alone
    rule_shares: tuple[RuleShare, ...] = ()  # of a batch whose operations have different rules
    # What was decided.
    denial: Denial | None = None
    superseded_denial: Denial | None = None  # a check's denial that a sanction or a rate limit took precedence over
    would_refuse: tuple[Denial, ...] = ()
    repeated: bool = False  # refused from memory, by its head alone
    buckets: tuple[Bucket, ...] = ()
    charges: tuple[Charge, ...] = ()  # of checks, on top of the rate limits
    concurrency_slots: tuple[tuple[str, str], ...] = ()  # held among the operations in flight
    socket_slots: tuple[tuple[str, str], ...] = ()  # held among the open sockets
    subscription_slots: tuple[tuple[str, str], ...] = ()  # held among the open subscriptions
    attempts: tuple[str, ...] | None = None  # logins at work; None if the end of the request is not seen
    express_seconds: float | None = None  # longest time in one of the last slots, if it has one
    ends_at: float | None = None  # when the app will be stopped, by time.monotonic
    statement: Naming | None = None  # says what the database works on for this request
    database_timeout: bool = False  # the database stopped a statement of this request
    database_seconds: float | None = None  # of its statements together; None as long as there was none
    in_flight: int = 0  # operations of its caller at work in this process, with this one; 0 if that was not counted
    # How it is served.
    own_page: bool = False  # answered by the guard itself: metrics, health
    enforced: bool = False  # the guard enforces anything
    head_key: Hashable = None  # identifies all requests with the same head
    head: Any = None  # what is known of them (asgi/head_cache.py)
    # Guards further outside that have let the same request pass: see nest().
    outer: RequestContext | None = None  # the same request, as the guard around this one knows it
    books: Books | None = None  # of its guard; known once another guard has met the request inside
    payers: tuple[RequestContext, ...] = ()  # guards outside that charge the same store, the nearest first
    told_outside: frozenset[Told] = frozenset()  # what guards outside have counted in the same metrics
    known_by: RequestContext | None = None  # the nearest guard outside that authenticates, where this one does not
    credit: dict[Hashable, int] | None = None  # tokens taken here that guards inside need not take again
    unpaid: bool = False  # a bucket was short, and nothing was taken from any
    paid: tuple[Bucket, ...] | None = None  # the buckets that it has paid itself, where guards outside have paid a part
    paid_alone: bool = False  # to this process, since the store did not answer
    ledger: Any = None  # of what it has paid, once that may change (stores/ledger.py)
    accounts: Any = None  # of its guard, known with the books (asgi/accounts.py)
    patience_seconds: float = 0.0  # how long it would wait for tokens instead of being refused
    in_turn: bool = False  # it has waited: the store is asked, whatever this process remembers
    left: bool = False  # its client has, while it waited
    actual_cost: float | None = None  # in points, as the app's answer says
    shown: tuple[Bucket, ...] | None = None  # buckets for the answer's headers, if guards inside have some too
    # Of what is sent over a socket: see child().
    carrier: RequestContext | None = None  # the socket's own context
    operation_id: str = ""  # the client's id of an operation
    untimed: bool = False  # how long it took says nothing: a subscription that ended without an event
    # What became of it.
    auth_failed: bool = False  # the app, or a guard inside, did not accept the caller's credentials
    refused_inside: bool = False  # by a guard inside, which counts it
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
        self.place: Place = NOWHERE  # what its path stands for
        self.body: bytes | None = None
        self.rewritten: bytes | None = None  # what the app gets for the body, or for the query string of a GET
        self.before: RequestContext | None = IDLE  # while the app works on it: the request whose work this is a part of
        # The OpenTelemetry span that traces it, "" for none: another one is active where the request is recorded.
        self.span: Any = None
        self.ended_at = 0.0  # when its answer was complete, in seconds since 1970; 0 as long as it is not
        self.status = 0

    @cached_property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request's headers by name, in lower case; the first line of each name."""
        return first_lines(self.header_lines)

    def drop_headers(self) -> None:
        """Keep the lines alone, from which a header that is asked for later is read anew: a socket lives for days."""
        self.__dict__.pop("headers", None)

    def child(
        self, request_id: str, lines: Sequence[tuple[bytes, bytes]], headers: Mapping[bytes, bytes]
    ) -> RequestContext:
        """Something that is sent over this socket, as if it were a POST of the same caller with this head."""
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
        """What is sent over a socket belongs to the socket's trace."""
        return self.trace_id

    @property
    def trace_id(self) -> str:
        """The trace's id, for logs. Found out when it is first asked for, since most requests never need it."""
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
        """Take over what the guard around this one knows of the same request: its id, who has paid, what was counted.

        ``books`` and ``authenticates`` are this guard's.
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
                told |= _told_of(each, counts=theirs.counts)
        self.told_outside = frozenset(told)

    def identify(self, identity: Identity | None) -> None:
        """Set the verified user; None where it turns out that there is none."""
        self.identity = identity
        self.subject = identity.subject if identity is not None else self.address_subject

    @property
    def limit_subject(self) -> Subject:
        """Whose buckets the request takes from: the subject, unless the deployment counts by another key. Sanctions and
        offences are the subject's in any case."""
        return self.keyed or self.subject

    @property
    def short_key(self) -> str | None:
        """For logs: the key whose bucket is short or, where it is what the caller pays beside it, ``user`` or
        ``address``. None where no other key than these is counted by."""
        if self.keyed is None or not self.buckets:
            return None
        short = max(self.buckets, key=lambda bucket: bucket.retry_after_seconds)
        if short.charge.own:
            return self.subject.kind
        return self.keyed.name if self.keyed.kind == "key" else f"{self.keyed.kind}:{self.keyed.name}"

    @property
    def looks_alike(self) -> bool:
        """Whether the bucket of this caller is that of all behind a proxy that is not trusted."""
        return self.shared_peer and self.limit_subject is self.address_subject

    @property
    def query_hash(self) -> str | None:
        """The hex SHA-256 of the document's text, for logs; that of a batch over those of its documents.

        None if there was no text to be read.
        """
        return self.hashes[0] if len(self.hashes) == 1 else joint_hash(self.hashes)

    @property
    def verified(self) -> Identity | None:
        """The user that the app serves, as the innermost guard that authenticates has verified."""
        return self.identity if self.known_by is None else self.known_by.identity

    @property
    def user_id(self) -> str:
        """The verified user, else ``anonymous``, for logs and labels."""
        identity = self.verified
        return identity.user_id if identity else ANONYMOUS


def outers(ctx: RequestContext) -> Iterator[RequestContext]:
    """The contexts that the guards further outside have of the same request, the nearest first."""
    outer = ctx.outer
    while outer is not None:
        yield outer
        outer = outer.outer


def everywhere(ctx: RequestContext) -> Iterator[RequestContext]:
    """The context, and those of the guards further outside."""
    yield ctx
    yield from outers(ctx)


def _told_of(ctx: RequestContext, *, counts: bool) -> set[Told]:
    """What a guard counts of a request that it has let pass."""
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
