"""Writes the response headers that show clients how much of their limits is left.

RateLimit-Policy and RateLimit follow draft-ietf-httpapi-ratelimit-headers-11, X-RateLimit-* are those of FraiseQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import Bucket

Header = tuple[bytes, bytes]

_REQUEST_ID: Final = b"x-request-id"
_LEGACY: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {"standard": ("RateLimit", "RateLimit-Policy"), "legacy": _LEGACY}
"""The headers of each kind that the setting may name."""
RATE_LIMIT_NAMES: Final = frozenset(name.lower().encode() for kind in _KINDS.values() for name in kind)
"""Names of the headers that tell the state of a bucket."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The parts of limits and refusals that clients are shown. Made once for the settings in force."""

    names: frozenset[bytes]
    """The headers that tell the state of buckets."""
    numbers: bool
    """Whether a refusal says which limit it is for, its value, and how far it was exceeded."""
    exposed: bytes
    """Access-Control-Expose-Headers, on what pages of other origins may read."""
    always_ours: frozenset[bytes]
    """Headers that no answer of the app brings to its client, although the caller is not counted: those that are not to
    be told, and the one that each answer of ours has."""

    @classmethod
    def of(cls, settings: Settings) -> Disclosure:
        """What these settings have clients told."""
        kinds = settings.rate_limit_headers if settings.expose_limits else ()
        told = [name for kind, names in _KINDS.items() if kind in kinds for name in names]
        names = frozenset(name.lower().encode() for name in told)
        return cls(
            names=RATE_LIMIT_NAMES if names == RATE_LIMIT_NAMES else names,
            numbers=settings.expose_limits,
            exposed=", ".join(["Retry-After", *told, "X-Request-ID"]).encode(),
            always_ours=RATE_LIMIT_NAMES - names | {_REQUEST_ID},
        )

    def headers(self, buckets: Sequence[Bucket], now: float, waits: Sequence[float] | None = None) -> list[Header]:
        """:func:`rate_limit_headers`, as far as they are told."""
        if not self.names:
            return []
        found = rate_limit_headers(buckets, now, waits)
        return found if self.names is RATE_LIMIT_NAMES else [line for line in found if line[0] in self.names]


def rate_limit_headers(buckets: Sequence[Bucket], now: float, waits: Sequence[float] | None = None) -> list[Header]:
    """The headers about these buckets, from none to five.

    X-RateLimit-* tell of the bucket with the smallest remaining share (Reset: the Unix time at which it is full again,
    as FraiseQL writes it). RateLimit-Policy tells of all that carry a name of their own; RateLimit as well, but of the
    windows of one rate it tells only the one with the smallest remaining share. What a bucket holds above its rate is
    not told: clients would take it for a part of the rate.

    ``waits`` are those that Retry-After is the longest of, by bucket. Then the one that is waited for longest comes
    first, and only what is waited for has a time (``t``): none lies behind Retry-After.
    """
    if len(buckets) != 1:
        return _of_several(buckets, now, waits) if buckets else []
    bucket = buckets[0]
    charge, remaining = bucket.charge, bucket.remaining
    quota, left, rate, capacity = charge.limit.tokens, int(remaining), charge.rate, charge.capacity
    limit, policy, name = _constant(charge.policy, quota, charge.limit.window_seconds)
    shown = min(quota, left)
    wait = (left + 1 - remaining) / rate if waits is None else waits[0]
    if waits is None and remaining >= capacity:
        wait = 0.0  # it is full
    state = b"%s%d;t=%d" % (name, shown, math.ceil(wait)) if 0.0 < wait < math.inf else b"%s%d" % (name, shown)
    return [
        limit,
        (b"x-ratelimit-remaining", b"%d" % shown),
        (b"x-ratelimit-reset", b"%d" % math.ceil(now + (capacity - remaining) / rate)),
        policy,
        (b"ratelimit", state),
    ]


def _of_several(buckets: Sequence[Bucket], now: float, waits: Sequence[float] | None) -> list[Header]:
    known: Sequence[float | None] = (None,) * len(buckets) if waits is None else waits
    tightest = _tightest(range(len(buckets)), buckets, waits)
    told = {place: _of_one(buckets[place], now, known[place]) for place in _one_of_each_name(buckets, known)}
    first_three = (told.get(tightest) or _of_one(buckets[tightest], now, known[tightest]))[:3]
    return [
        *first_three,
        (b"ratelimit-policy", b", ".join([lines[3][1] for lines in told.values()])),
        (b"ratelimit", b", ".join([told[place][4][1] for place in _one_of_each_rate(told, buckets, waits)])),
    ]


def _one_of_each_rate(places: Iterable[int], buckets: Sequence[Bucket], waits: Sequence[float] | None) -> list[int]:
    """Of the windows of a rate the one that is nearest to its end."""
    windows: dict[str, list[int]] = {}
    for place in places:
        windows.setdefault(buckets[place].charge.rate_name, []).append(place)
    return [_tightest(of_rate, buckets, waits) for of_rate in windows.values()]


def _tightest(places: Sequence[int], buckets: Sequence[Bucket], waits: Sequence[float] | None) -> int:
    """Which bucket is waited for longest; where none is, which has the smallest share left."""
    if waits is not None and any(waits[place] for place in places):
        return max(places, key=waits.__getitem__)
    return min(places, key=lambda place: buckets[place].share)


def _one_of_each_name(buckets: Sequence[Bucket], waits: Sequence[float | None]) -> Iterable[int]:
    """Of the buckets that share a name the caller's own, unless it is another that is waited for."""
    named: dict[str, int] = {}
    for place, bucket in enumerate(buckets):
        first = named.setdefault(bucket.charge.policy, place)
        if first != place and (waits[place] or 0.0) > (waits[first] or 0.0):
            named[bucket.charge.policy] = place
    return named.values()


def _of_one(bucket: Bucket, now: float, wait: float | None) -> list[Header]:
    return rate_limit_headers((bucket,), now, None if wait is None else (wait,))


@lru_cache(maxsize=256)
def _constant(policy: str, tokens: int, window_seconds: int) -> tuple[Header, Header, bytes]:
    """What headers say of a charge whatever is left: its limit, its policy, and how its state begins."""
    name = policy.encode()
    return (
        (b"x-ratelimit-limit", b"%d" % tokens),
        (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (name, tokens, window_seconds)),
        b'"%s";r=' % name,
    )
