"""What is known of one request, and the values that decisions are made of.

Gates read a :class:`Context`, add facts and charges to it, or return a :class:`Denial`. Nothing here knows ASGI.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b, sha256
from typing import Any, Final, Literal

from fraiseql_guard.core.signals import ANONYMOUS, UNKNOWN, Code, FailureReason, PolicyName, Protection

OperationKind = Literal["query", "mutation", "subscription"]

SHARED_PEER_FACTOR: Final = 20
"""Everybody behind an untrusted proxy looks alike: what they have in common is that much larger."""
NOT_A_ROUTE: Final = "//"
"""Stands for a path under the operator's that is written in a way that leads to none of its routes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate: ``tokens`` per ``window_seconds``. Parsed from ``100/minute``, ``5/second``, ``10/30s``."""

    tokens: int
    window_seconds: int

    @property
    def tokens_per_second(self) -> float:
        """Refill rate of the bucket."""
        return self.tokens / self.window_seconds

    def times(self, factor: int) -> Limit:
        """The same rate for a group of callers, ``factor`` times as large."""
        return Limit(self.tokens * factor, self.window_seconds)

    def __str__(self) -> str:
        return f"{self.tokens}/{_WINDOW_NAMES.get(self.window_seconds, f'{self.window_seconds}s')}"


@dataclass(frozen=True, slots=True)
class Burst:
    """What a full bucket holds above its rate: so many requests or, with ``percent``, a share of the rate.

    Parsed from ``20`` or ``20%``, and written so.
    """

    requests: int = 0
    percent: int | None = None

    def of(self, limit: Limit) -> int:
        """In requests, for the bucket of this rate; a share is rounded down."""
        return self.requests if self.percent is None else limit.tokens * self.percent // 100

    def __str__(self) -> str:
        return str(self.requests) if self.percent is None else f"{self.percent}%"


_WINDOW_NAMES: Final[Mapping[int, str]] = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


@dataclass(frozen=True)
class Subject:
    """Who a decision is about: a verified user, else a client address.

    ``name`` tells subjects of one kind apart in the store and never leaves it: (issuer, tenant, sub) of a user, the
    /32 of an IPv4 or the /64 of an IPv6 address, of a login its identifier together with one of these. ``group`` names
    what shares one hash slot: of an IPv6 address its /48, else the subject itself. ``networks`` are the wider networks
    with buckets of their own and how many times the limit each may take: (("2001:db8::/56", 4), ("2001:db8::/48", 16)).
    """

    kind: Literal["user", "address", "login"]
    name: str
    group: str = ""
    networks: tuple[tuple[str, int], ...] = ()

    @cached_property
    def key(self) -> tuple[str, str]:
        """What tells subjects apart inside a process."""
        return self.kind, self.name

    @cached_property
    def tag(self) -> str:
        """Redis hash tag: a digest, because a name may hold braces, and an empty tag is no tag."""
        return blake2b(f"{self.kind}\0{self.group or self.name}".encode(), digest_size=16).hexdigest()

    @cached_property
    def member(self) -> str:
        """What tells it from others of its group in the store: a digest, or nothing if it shares its tag with none."""
        if not self.group or self.group == self.name:
            return ""
        return blake2b(self.name.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified user. Exists only after a signature was checked."""

    user_id: str
    subject: Subject
    claims: Mapping[str, Any]
    key: str  # which key verified the token: current, old, new
    scopes: tuple[str, ...] = ()
    tier: str | None = None
    expires_at: float | None = None
    fresh: bool = field(default=True, compare=False)  # verified by this very request, not remembered from another


@dataclass(frozen=True)
class Charge:
    """Tokens to take from one bucket of the subject.

    ``policy`` is the name that RateLimit-Policy shows (``default``, ``authenticated``, ``graphql``, ...); ``bucket``
    tells apart the buckets of one subject and defaults to the policy. A ``fixed`` charge stays when an override of the
    subject's limit replaces the others.
    """

    policy: str
    limit: Limit
    burst: int = 0
    tokens: int = 1
    bucket: str = ""
    fixed: bool = False

    def __hash__(self) -> int:
        return self._hash  # charges of the common cases live long and are looked up often

    @cached_property
    def _hash(self) -> int:
        return hash((self.policy, self.limit, self.burst, self.tokens, self.bucket, self.fixed))

    @cached_property
    def capacity(self) -> int:
        """Tokens in a full bucket."""
        return self.limit.tokens + self.burst

    @cached_property
    def rate(self) -> float:
        """Tokens that come back in a second."""
        return self.limit.tokens_per_second

    @cached_property
    def key(self) -> str:
        """Name of the bucket within its subject."""
        return self.bucket or self.policy

    @cached_property
    def shared(self) -> bool:
        """Whether the bucket belongs to the group of its subject."""
        return is_shared(self.key)


def network_bucket(policy: str, network: str) -> str:
    """Name of a bucket that all subjects of a group share, for ``Charge.bucket``: ``default@2001:db8::/48``.

    Any other bucket belongs to the one subject of the trip.
    """
    return f"{policy}@{network}"


def mounted_bucket(name: str, limit: Limit, burst: int) -> str:
    """Name of the bucket of a rate that a guard was mounted with, for ``Charge.bucket``: ``default:100/60+20``.

    Where two guards are given different rates their buckets are two, wherever they count; where they are given the same
    one, such as two workers of an app, it is one. A rate that is changed at run time goes on in the bucket of the one
    that the guard was mounted with. If rates that differ shared a bucket, the smaller one would have to cut off what
    the larger one had counted.
    """
    return f"{name}:{limit.tokens}/{limit.window_seconds}+{burst}"


def is_shared(bucket: str) -> bool:
    """Whether a bucket of this name belongs to the group of its subject."""
    return "@" in bucket


@dataclass(slots=True)  # made with every request: a frozen one takes three times as long to make
class Bucket:
    """State of a bucket after a trip. ``remaining`` is fractional."""

    charge: Charge
    remaining: float
    retry_after_seconds: float = 0.0  # time until the charge would be admitted; 0 if it was

    @property
    def reset_seconds(self) -> float:
        """Time until the bucket is full again."""
        return max(0.0, (self.charge.capacity - self.remaining) / self.charge.rate)

    def wait_for(self, tokens: int) -> float:
        """Time until a request of so many tokens, and of no less than the charge, can be paid; 0 if it can be now."""
        needed = min(max(tokens, self.charge.tokens), self.charge.capacity)
        return max(0.0, (needed - self.remaining) / self.charge.rate)

    @property
    def share(self) -> float:
        """Remaining part of the capacity, 0 to 1."""
        return self.remaining / self.charge.capacity


@dataclass(frozen=True, slots=True)
class Sanction:
    """A block in force. ``expires_in_seconds`` counts from the answer that carried it."""

    subject: Subject
    policy: PolicyName
    expires_in_seconds: float
    reason: str = ""
    actor: str = ""  # the operator who imposed it

    @property
    def automatic(self) -> bool:
        """Imposed by an escalation policy, not by the operator."""
        return self.policy is not PolicyName.OPERATOR


@dataclass(frozen=True)
class Escalation:
    """An escalation policy: so many offences inside a window bring a sanction. The runbooks name four.

    An offence of a policy that is not ``enforced`` (monitor mode) is kept under keys that bind no one.
    """

    policy: PolicyName
    offences: int
    window_seconds: int
    sanction_seconds: int
    enforced: bool = True

    def __hash__(self) -> int:
        return self._hash  # one of a few that live long, and looked up with every trip

    @cached_property
    def _hash(self) -> int:
        return hash((self.policy, self.offences, self.window_seconds, self.sanction_seconds, self.enforced))


@dataclass(frozen=True, slots=True)
class Denial:
    """A gate's refusal: a code of the vocabulary with its numbers.

    ``protection`` says in whose name (and mode) it is refused; by default the code's own. ``offence`` says which
    policy it counts for; ``tokens`` is what a refused request still costs (refusals are not free).
    """

    code: Code
    detail: str = ""
    limit: float | None = None
    actual: float | None = None
    path: str | None = None
    retry_after_seconds: float | None = None
    reason: FailureReason | None = None
    offence: PolicyName | None = None
    tokens: int = 1
    protection: Protection | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()  # further extensions of the answer
    answered_status: int | None = None  # where a protocol of clients wants another than the code's

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.answered_status or self.code.status

    @property
    def owner(self) -> Protection:
        """The protection in whose name the request is refused."""
        return self.protection or self.code.protection


@dataclass(frozen=True, slots=True)
class Measured:
    """What the GraphQL request asks for, over all operations that the app could run; the dearest counts."""

    kind: OperationKind
    name: str | None
    root_fields: frozenset[str]
    """Names (not aliases) of all fields that stand at the root of any operation, whatever @skip and @include say. Never
    cut: decisions about who may call what rest on it."""
    root_field_count: int  # how often fields stand at those roots, as far as it matters
    mutation_root_fields: int
    depth: int
    complexity: int
    list_size: int
    introspection: bool = False
    near: tuple[str, ...] = ()  # limits that are nearly used up, by option
    names: tuple[str, ...] = ()  # of every operation in every document
    unmeasured: int = 0  # elements of a batch about which nothing of this is known

    @property
    def complete(self) -> bool:
        """Whether everything in the request was measured."""
        return not self.unmeasured


def first_lines(lines: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """The first line of each header."""
    return dict(lines[::-1]) if isinstance(lines, list) else dict(reversed(lines))


def joint_hash(hashes: Sequence[str]) -> str | None:
    """The query_hash of a batch; None of nothing."""
    return sha256("".join(hashes).encode()).hexdigest() if hashes else None


@dataclass(frozen=True, slots=True)
class Statement:
    """What is told of a database statement: its kind (``select``, ``call``, ...) and the table, view or function that
    it is about, ``""`` where there is none."""

    query_type: str
    table_name: str


Naming = Callable[[], Statement]
"""Says what is told of a statement: found out when it is asked for, which is seldom before the statement has ended."""


class OwnPage(StrEnum):
    """A page that the guard serves itself."""

    METRICS = "metrics"
    HEALTH = "health"  # the details
    ALIVE = "alive"  # the short one, where the app has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a request's path stands for.

    ``graphql`` is the configured path that speaks GraphQL and covers it, ``below_admin`` what follows the operator's
    path; None elsewhere. ``endpoint`` is its label, ``malformed`` why no app may see it (empty if one may).
    """

    graphql: str | None = None
    needs_token: bool = False
    exempt: bool = False
    page: OwnPage | None = None
    below_admin: str | None = None
    endpoint: str = UNKNOWN
    malformed: str = ""


NOWHERE: Final = Place()
"""The place of a path that no setting names."""


@dataclass(frozen=True, slots=True)
class Books:
    """Where a guard keeps what it counts. What is equal of two guards, they share."""

    store: Hashable
    """Where its buckets are."""
    metrics: Hashable
    """Where its metrics are."""
    counts: bool
    """Whether every answer is counted there (plain metrics)."""


IDLE: Final[Any] = object()
"""In the place of the request before (Context.before): no app works on this one."""

Told = Literal["answer", "measures", "query", "token"]
"""What the metrics are told of a request that was not refused."""


class RequestContext:
    """One request on its way through the gates. The only mutable value: gates add what they find out.

    What nothing has been found out about yet is the class's own: a request pays for what it has.
    """

    place: Place = NOWHERE  # what its path stands for
    socket: bool = False  # the upgrade to a WebSocket
    preflight: bool = False  # a browser's CORS preflight
    cross_site_simple: bool = False  # any page could have made its visitor's browser send this
    upload: bool = False  # a GraphQL multipart request
    page: bool = False  # a browser asking for the GraphiQL page
    for_operator: bool = False  # for the operator's API
    trusted_peer: bool = False  # sent by a proxy that is trusted
    open_to_all: bool = False  # a file of the operator's console, the same for everybody
    operator_refusal: Denial | None = None  # why the user of a genuine token with the right scope is no operator
    actor: str = ""  # the operator who has shown a right token: nothing slows or blocks them
    body: bytes | None = None
    rewritten: bytes | None = None  # what the app gets for the body, or for the query string of a GET
    identity: Identity | None = None  # see identify()
    token_failure: FailureReason | None = None
    token_claims: Mapping[str, Any] | None = None  # of an expired but genuine token
    token_prefix: str | None = None
    keys_missing: bool = False  # the token may be signed with a key that must be fetched first
    token_pending: bool = False  # a token is missing, and only the body tells whether one is needed
    public_operation: bool = False
    measured: Measured | None = None
    hashes: tuple[str, ...] = ()  # hex SHA-256 of every document in the request, also of one that was not measured
    query_text: str | None = None  # of a document that is refused, where lines are to carry it
    denial: Denial | None = None
    superseded_denial: Denial | None = None  # a gate's denial that a sanction or a rate limit came before
    would_refuse: tuple[Denial, ...] = ()
    repeated: bool = False  # refused from memory, by what its head tells
    buckets: tuple[Bucket, ...] = ()
    charges: tuple[Charge, ...] = ()  # of gates, on top of the rate limits
    slots: tuple[tuple[str, str], ...] = ()  # held among the operations in flight
    attempts: tuple[str, ...] | None = None  # logins at work; None if the end of the request is not seen
    express_seconds: float | None = None  # admitted to the last slots, for so long and no longer
    ends_at: float | None = None  # when the app will be stopped, by time.monotonic
    statement: Naming | None = None  # says what the database works on for this request
    database_timeout: bool = False  # the database stopped a statement of this request
    own_page: bool = False  # answered by the guard itself: metrics, health
    span: Any = None  # the OpenTelemetry span that it is traced by, "" of none: where it is told, another is active
    ended_at: float = 0.0  # when its answer was complete, in seconds since 1970; 0 as long as it is not
    head_key: Hashable = None  # what all requests with the same head have in common
    head: Any = None  # what was found out about them before (asgi/head_cache.py)
    before: RequestContext | None = IDLE  # while the app works on it: the request whose work this is a part of
    outer: RequestContext | None = None  # the same request, as the guard around this one knows it: see nest()
    books: Books | None = None  # of its guard; known once another guard has met the request inside
    payers: tuple[RequestContext, ...] = ()  # those further outside that charge the same store, the nearest first
    told_outside: frozenset[Told] = frozenset()  # what they tell the same metrics of the request
    known_by: RequestContext | None = (
        None  # the nearest further outside that authenticates, where this one's guard does not
    )
    credit: dict[Hashable, int] | None = None  # tokens taken that no guard inside has counted on (stores/credit.py)
    unpaid: bool = False  # a bucket was short: none was taken from
    shown: tuple[Bucket, ...] | None = None  # whose state the answer's headers tell, if guards inside have a say in it
    auth_failed: bool = False  # the app, or a guard further inside, does not take the caller for who they should be
    refused_inside: bool = False  # by a guard further inside, which tells of it
    status: int = 0
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
        self.shared_peer = shared_peer  # an untrusted proxy: everybody behind it looks alike
        self.private_peer = private_peer  # on a private or loopback address, and no proxy
        self.loopback_peer = loopback_peer  # on a loopback address, and no proxy
        self.allow_listed = allow_listed  # not counted, and never blocked automatically

    @cached_property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request's headers by name, in lower case; the first line of each name."""
        return first_lines(self.header_lines)

    @property
    def trace_id(self) -> str:
        """For logs: found out when it is first asked for, which most requests never do."""
        if not isinstance(self._trace_id, str):
            self._trace_id = self._trace_id(self.header(b"traceparent") or None, self.span)
        return self._trace_id

    @property
    def client_request_id(self) -> str | None:
        """For logs: the X-Request-ID that a trusted proxy has sent; None without one."""
        return (self.header(b"x-request-id") or None) if self.trusted_peer else None

    def header(self, name: bytes) -> str:
        """The first line of a request header, ``""`` without one."""
        return self.headers.get(name, b"").decode("latin-1")

    def lines(self, name: bytes) -> list[str]:
        """All lines of a request header."""
        return [value.decode("latin-1") for key, value in self.header_lines if key == name]

    def from_origin_of(self, origins: Sequence[str]) -> bool:
        """Whether a page of one of these origins has sent it; ``*`` stands for all pages."""
        origin = self.headers.get(b"origin")
        return origin is not None and ("*" in origins or origin.decode("latin-1") in origins)

    def nest(self, outer: RequestContext, books: Books, *, authenticates: bool) -> None:
        """A guard further outside has let the same request pass: both have one id for it.

        ``books`` and ``authenticates`` are of this one's guard.
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
        """The verified user is known, or turns out to be none."""
        self.identity = identity
        self.subject = identity.subject if identity is not None else self.address_subject

    @property
    def query_hash(self) -> str | None:
        """For logs: the hex SHA-256 of the document's text, that of a batch over those of its documents; None if there
        was no text to be read."""
        return self.hashes[0] if len(self.hashes) == 1 else joint_hash(self.hashes)

    @property
    def verified(self) -> Identity | None:
        """The user that the app serves: verified by the innermost guard that authenticates."""
        return self.identity if self.known_by is None else self.known_by.identity

    @property
    def user_id(self) -> str:
        """For logs and labels: the verified user, else ``anonymous``."""
        identity = self.verified
        return identity.user_id if identity else ANONYMOUS


def outers(ctx: RequestContext) -> Iterator[RequestContext]:
    """The same request as the guards further outside know it, the nearest first."""
    outer = ctx.outer
    while outer is not None:
        yield outer
        outer = outer.outer


def everywhere(ctx: RequestContext) -> Iterator[RequestContext]:
    """A request as its guard knows it, and as those further outside do."""
    yield ctx
    yield from outers(ctx)


def _told_of(ctx: RequestContext, *, counts: bool) -> set[Told]:
    """What a guard that has let a request pass tells of it."""
    found: dict[Told, object] = {
        "answer": counts,
        "measures": ctx.measured is not None,
        "query": ctx.operation,
        "token": ctx.identity is not None,
    }
    return {name for name, told in found.items() if told}


@dataclass(frozen=True, slots=True)
class AppDocument:
    """A document of the app's own, and what it was refused for. ``query_hash`` is that of the log lines."""

    query_hash: str
    code: Code
    limit: float
    actual: float
    operation: str = ""  # its name, where it has one
