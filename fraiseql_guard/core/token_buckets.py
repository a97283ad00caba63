"""Token buckets: rates, what a request takes from which bucket, and what is left in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

SHARED_PEER_FACTOR: Final = 20
"""Callers behind an untrusted proxy look alike: the limits that they share are so many times as large."""
_WINDOW_NAMES: Final[Mapping[int, str]] = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


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
        """The burst in requests, for the bucket of this rate; a share is rounded down."""
        return self.requests if self.percent is None else limit.tokens * self.percent // 100

    def __str__(self) -> str:
        return str(self.requests) if self.percent is None else f"{self.percent}%"


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
