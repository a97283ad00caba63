"""The process's memory of rate refusals: a request inside its caller's Retry-After costs no call to the store.

A refusal is kept for at most a second, so that a raised limit or a lifted sanction needs no message. The next admit
request carries how many requests were refused meanwhile, so that offences stay complete. A refusal covers charges to
its bucket at its limit alone: a refusal from before a change of the settings refuses no request.

A refusal is kept for the subject whose bucket was short, which many callers may share (AdmitRequest.limit_subject); the
requests that it refuses are counted for each caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.token_buckets import Bucket, Charge
from fraiseql_guard.stores.protocol import AdmitRequest, AdmitResult

LONGEST_SECONDS: Final = 1.0
"""Longest time that a refusal is remembered, if its retry_after_seconds is not shorter."""

_BYTES_PER_CALLER: Final = 700
"""Memory of a caller with one refused bucket, measured."""


@dataclass(frozen=True, slots=True)
class _Refused:
    bucket: Bucket
    at: float
    until: float


@dataclass(slots=True)
class RefusedCaller:
    """The remembered refusals of a subject by bucket, and the number of requests refused from memory that the store has
    not been told yet."""

    buckets: dict[str, _Refused] = field(default_factory=dict)
    count: int = 0

    def drop_ended(self, now: float) -> None:
        """Drop the refusals that are over."""
        self.buckets = {name: refused for name, refused in self.buckets.items() if refused.until > now}


class Refusals:
    """The refusals of the subjects seen last, ``size`` of them. ``clock`` counts seconds and never goes back.

    A refusal counts for a second at most, so that 4,000 are more callers than one process refuses in that time.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = 4_000) -> None:
        self._clock = clock
        self._callers: Lru[tuple[str, str], RefusedCaller] = Lru(size)
        self.knows: Callable[[tuple[str, str]], bool] = self._callers.holds
        """Whether anything is remembered of the subject with this key."""

    def remember(self, request: AdmitRequest, result: AdmitResult) -> None:
        """Note the buckets that refused a request. Results other than a refusal for the rate are ignored."""
        if result.admitted or not result.buckets or result.sanction is not None:
            return
        now = self._clock()
        for bucket in result.buckets:
            if bucket.retry_after_seconds > 0:
                key = (request.subject if bucket.charge.own else request.pays).key
                caller = self._callers.get(key) or RefusedCaller()
                caller.drop_ended(now)
                # At most a second: a raised limit or a lifted sanction holds for all after that.
                until = now + min(bucket.retry_after_seconds, LONGEST_SECONDS)
                caller.buckets[bucket.charge.key] = _Refused(bucket, now, until)
                self._callers.put(key, caller)

    def find(
        self, subject: Subject, charges: Iterable[Charge], *, counts: bool = True, pays: Subject | None = None
    ) -> Bucket | None:
        """The remembered bucket that refuses one of these charges, with the wait that is left; of several buckets the
        one with the longest wait; None if none refuses.

        ``counts``: whether this request counts as a refusal that the store must be told of. ``pays``: the subject with
        the buckets of all charges but ``own`` ones; None: ``subject``.

        A refusal covers charges to the same bucket at the same limit that cost as much or more.
        """
        own = self._callers.get(subject.key)
        payer = own if pays is None else self._callers.get(pays.key)
        if own is None and payer is None:
            return None
        now, longest = self._clock(), None
        for charge in charges:
            holder = own if charge.own else payer
            refused = holder.buckets.get(charge.key) if holder is not None else None
            if refused is not None and refused.until > now and _covers(refused.bucket.charge, charge):
                bucket = _counted_down(refused, charge, now)
                if longest is None or bucket.retry_after_seconds > longest.retry_after_seconds:
                    longest = bucket
        if longest is not None and counts:
            self._counted(subject).count += 1
        return longest

    def held(self, subject: Subject, charge: Charge, pays: Subject | None = None) -> tuple[RefusedCaller, float] | None:
        """The entry in whose ``count`` this subject's refusals are counted, and until when (by the clock) this charge
        is refused from memory; None if it is not."""
        holder = self._callers.get((subject if pays is None or charge.own else pays).key)
        refused = holder.buckets.get(charge.key) if holder is not None else None
        return None if refused is None else (self._counted(subject), refused.until)

    def _counted(self, subject: Subject) -> RefusedCaller:
        """The entry that counts the refusals of a subject; made if there is none."""
        caller = self._callers.get(subject.key)
        if caller is None:
            caller = RefusedCaller()
            self._callers.put(subject.key, caller)
        return caller

    @property
    def size_bytes(self) -> int:
        """The bytes that the refusals hold, estimated by the number of callers."""
        return len(self._callers) * _BYTES_PER_CALLER

    def forget(self) -> None:
        """Forget all refusals, so that the store is asked again. Refused requests that the store was not told of yet
        are never counted as offences."""
        self._callers.clear()

    def take_count(self, subject: Subject) -> int:
        """The number for ``AdmitRequest.refused_before``: how many requests of this subject were refused from memory
        since the last call."""
        caller = self._callers.get(subject.key)
        if caller is None:
            return 0
        count, caller.count = caller.count, 0
        # A caller without refusals in force makes room.
        caller.drop_ended(self._clock())
        if not caller.buckets:
            self._callers.pop(subject.key)
        return count


def _covers(refused: Charge, charge: Charge) -> bool:
    return refused.limit == charge.limit and refused.burst == charge.burst and charge.tokens >= refused.tokens


def _counted_down(refused: _Refused, charge: Charge, now: float) -> Bucket:
    elapsed, bucket = now - refused.at, refused.bucket
    # The tokens that this charge costs beyond the refused charge take so much longer to come back.
    more = (charge.tokens - bucket.charge.tokens) / charge.limit.tokens_per_second
    wait = bucket.retry_after_seconds - elapsed + more
    remaining = min(charge.capacity, bucket.remaining + elapsed * charge.limit.tokens_per_second)
    return replace(bucket, charge=charge, remaining=remaining, retry_after_seconds=wait)
