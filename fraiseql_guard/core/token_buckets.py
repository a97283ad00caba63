"""Token buckets: rates, what a request takes from which bucket, and what is left in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

SHARED_PEER_FACTOR: Final = 20
"""Callers behind an untrusted proxy look alike: the limits that they share are so many times as large."""
MOST_WINDOWS: Final = 8
"""Most windows of one rate: each is a bucket that every request asks for."""
_WINDOW_NAMES: Final[Mapping[int, str]] = {1: "second", 60: "minute", 3600: "hour", 86_400: "day", 604_800: "week"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One window of a rate: ``tokens`` per ``window_seconds``. Written ``100/minute``, ``5/second``, ``10/30s``."""

    tokens: int
    window_seconds: int

    @property
    def tokens_per_second(self) -> float:
        """Refill rate of the bucket."""
        return self.tokens / self.window_seconds

    def times(self, factor: int) -> Limit:
        """The same rate for a group of callers, ``factor`` times as large."""
        return Limit(self.tokens * factor, self.window_seconds)

    @property
    def window(self) -> str:
        """The window in a word: ``minute``, or ``30s`` where it has no name."""
        return _WINDOW_NAMES.get(self.window_seconds, f"{self.window_seconds}s")

    def __str__(self) -> str:
        return f"{self.tokens}/{self.window}"


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of one or several windows, the shortest first. A request takes from the buckets of all, or of none.

    Parsed from ``100/minute`` or ``100/minute, 1000/hour``, and written ``100/minute+1000/hour``. ValueError if there
    is no window, more than MOST_WINDOWS, or a window twice.
    """

    limits: tuple[Limit, ...]

    def __post_init__(self) -> None:
        windows = {limit.window_seconds for limit in self.limits}
        if not 1 <= len(self.limits) <= MOST_WINDOWS:
            raise ValueError(f"is not a rate limit of 1 to {MOST_WINDOWS} windows")
        if len(windows) < len(self.limits):
            raise ValueError("is not a rate limit: it gives a window twice")
        shortest_first = sorted(self.limits, key=lambda limit: limit.window_seconds)
        object.__setattr__(self, "limits", tuple(shortest_first))

    @classmethod
    def of(cls, tokens: int, window_seconds: int) -> Rate:
        """A rate of one window."""
        return cls((Limit(tokens, window_seconds),))

    @property
    def shortest(self) -> Limit:
        """The shortest window, to which the burst belongs."""
        return self.limits[0]

    def __str__(self) -> str:
        return "+".join(map(str, self.limits))


@dataclass(frozen=True, slots=True)
class Burst:
    """What a full bucket holds above its rate: so many requests or, with ``percent``, a share of the rate. Of the
    windows of a rate the shortest alone has it.

    Parsed from ``20`` or ``20%``, and written so.
    """

    requests: int = 0
    percent: int | None = None

    def of(self, limit: Limit) -> int:
        """The burst in requests, for the bucket of this rate; a share is rounded down."""
        return self.requests if self.percent is None else limit.tokens * self.percent // 100

    def __str__(self) -> str:
        return str(self.requests) if self.percent is None else f"{self.percent}%"


@dataclass(frozen=True)
class Charge:
    """Tokens to take from one bucket of the subject.

    ``policy`` is the name that RateLimit-Policy shows (``default``, ``authenticated``, ``graphql``, ...); ``bucket``
    tells apart the buckets of one subject and defaults to the policy. A ``fixed`` charge stays when an override of the
    subject's limit replaces the others. ``window_of`` is the policy of the shortest window, where this is another
    window of the same rate. An ``own`` charge is paid by the request's subject where all others are paid by its limit
    subject (AdmitRequest): such charges are fixed, come last, and are dropped where an override decides.
    """

    policy: str
    limit: Limit
    burst: int = 0
    tokens: int = 1
    bucket: str = ""
    fixed: bool = False
    window_of: str = ""
    own: bool = False

    def __hash__(self) -> int:
        return self._hash  # charges of the common cases live long and are looked up often

    @cached_property
    def _hash(self) -> int:
        return hash((self.policy, self.limit, self.burst, self.tokens, self.bucket, self.fixed, self.own))

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

    @property
    def rate_name(self) -> str:
        """The policy of the rate, equal for all its windows."""
        return self.window_of or self.policy

    @cached_property
    def shared(self) -> bool:
        """Whether the bucket belongs to the group of its subject."""
        return is_shared(self.key)


@dataclass(slots=True)  # made with every request: a frozen one takes three times as long to make
class Bucket:
    """State of a bucket after the store was asked. ``remaining`` is fractional."""

    charge: Charge
    remaining: float
    retry_after_seconds: float = 0.0  # time until the charge would be admitted; 0 if it was

    @property
    def reset_seconds(self) -> float:
        """Time until the bucket is full again."""
        return max(0.0, (self.charge.capacity - self.remaining) / self.charge.rate)

    def wait_for(self, tokens: int) -> float:
        """Time until a request of so many tokens, and of no less than the charge, can be paid; 0 if it can be now."""
        # No request can ask for more than a full bucket, however long it waits.
        needed = min(max(tokens, self.charge.tokens), self.charge.capacity)
        return max(0.0, (needed - self.remaining) / self.charge.rate)

    @property
    def share(self) -> float:
        """Remaining part of the capacity, 0 to 1."""
        return self.remaining / self.charge.capacity


def charges_of(
    rate: Rate,
    policy: str,
    burst: Burst,
    *,
    name: str = "",
    mounted: Rate | None = None,
    mounted_burst: Burst | None = None,
) -> tuple[Charge, ...]:
    """What a rate charges: one charge of one token for each of its windows, the shortest first.

    The shortest window has the policy's own name, the others ``policy-hour``, as RateLimit-Policy shows them.
    ``name`` (by default the policy) begins the names of their buckets. ``mounted`` and ``mounted_burst`` are the rate
    and burst that the guard was mounted with, by which buckets are named as well (:func:`mounted_bucket`); a rate, or a
    window, that it was mounted without has a bucket by its name alone.
    """
    shortest, name = rate.shortest, name or policy
    before = {limit.window_seconds: limit for limit in mounted.limits} if mounted else {}
    bucket = name
    if mounted is not None:
        bucket = mounted_bucket(name, mounted.shortest, (mounted_burst or burst).of(mounted.shortest))
        before.pop(mounted.shortest.window_seconds)
    found = [Charge(policy, shortest, burst.of(shortest), bucket=bucket)]
    for limit in rate.limits[1:]:
        # A slash is in no name of a policy or a tier, so that no other rate has this bucket.
        bucket, first = f"{name}/{limit.window_seconds}", before.get(limit.window_seconds)
        bucket = bucket if first is None else mounted_bucket(bucket, first, 0)
        found.append(Charge(f"{policy}-{limit.window}", limit, bucket=bucket, window_of=policy))
    return tuple(found)


def idle_windows(charges: Sequence[Charge]) -> Iterator[tuple[Charge, Charge]]:
    """The charges of a rate that can never be short, each with another that is short before it."""
    for charge in charges:
        # What refills more slowly, and holds less, has more of itself in use at any time.
        others = (each for each in charges if each is not charge)
        tighter = next((each for each in others if each.rate <= charge.rate and each.capacity <= charge.capacity), None)
        if tighter is not None:
            yield charge, tighter


def network_bucket(policy: str, network: str) -> str:
    """Name of a bucket that all subjects of a group share, for ``Charge.bucket``: ``default@2001:db8::/48``.

    Any other bucket belongs to one subject.
    """
    return f"{policy}@{network}"


def mounted_bucket(name: str, limit: Limit, burst: int) -> str:
    """Name of the bucket of a rate that a guard was mounted with, for ``Charge.bucket``: ``default:100/60+20``.

    Guards that are mounted with different rates have different buckets; guards with the same rate, such as the workers
    of an app, share one. A rate that is changed at run time stays in the bucket of the mounted one. If different rates
    shared a bucket, the smaller one would cut off what the larger one has counted.
    """
    return f"{name}:{limit.tokens}/{limit.window_seconds}+{burst}"


def is_shared(bucket: str) -> bool:
    """Whether a bucket of this name belongs to the group of its subject."""
    # Names of policies and tiers hold no @: only network_bucket writes one.
    return "@" in bucket
