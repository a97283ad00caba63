"""Limits that an operator has set for single subjects: the protocol of their sub-store, and the sub-store in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.core.lru import Lru
from fraiseql_guard.core.token_buckets import Burst, Charge, Rate, charges_of
from fraiseql_guard.stores.sanction_pages import Cursor, Longest, Page, moment_in

OVERRIDE: Final = "override"
"""The name of the policy and of the bucket of an override of one subject's limits (further windows:
``override/SECONDS``)."""


@dataclass(frozen=True, slots=True)
class HeldLimit:
    """An override of one subject's limits that is in force. ``actor`` is the operator who has set it."""

    subject: Subject
    rate: Rate
    burst: int
    expires_in_seconds: float
    actor: str = ""


class LimitStore(Protocol):
    """The overrides of limits. Every method may raise StoreError."""

    async def set(self, subject: Subject, rate: Rate, burst: int, seconds: float, *, actor: str = "") -> None:
        """Override a subject's limits for so many seconds: full buckets of this rate replace all of its buckets but
        those of fixed charges. The bucket of the shortest window has the burst."""
        ...

    async def clear(self, subject: Subject) -> bool:
        """End an override; False if there was none."""
        ...

    async def all(self) -> Sequence[HeldLimit]:
        """All overrides of limits in force, in no order. Their subjects carry kind, name and group."""
        ...

    async def page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """At most ``limit`` overrides of limits, the last to end first, from ``cursor`` on ("" for the first page).
        ValueError for a cursor that no page gave."""
        ...

    async def of(self, subject: Subject) -> HeldLimit | None:
        """The override of a subject's limits that is in force; None without one."""
        ...

    async def count(self) -> int:
        """Number of overrides of limits in force, without listing them."""
        ...


def effective_charges(charges: Sequence[Charge], rate: Rate, burst: int) -> tuple[Charge, ...]:
    """The charges of a request under an override: a charge for each of the override's windows, at the cost of the first
    charge, and the fixed charges. Other charges are dropped, also those beside a key: an operator has vouched for
    it."""
    # Fixed charges come last, and stay.
    replaced = [charge for charge in charges if not charge.fixed]
    fixed = tuple(charge for charge in charges if charge.fixed and not (replaced and charge.own))
    return (*override_charges(rate, burst, replaced[0].tokens), *fixed) if replaced else fixed


@lru_cache(maxsize=256)
def override_charges(rate: Rate, burst: int, tokens: int = 1) -> tuple[Charge, ...]:
    """The charges of an override of a subject's limits, the shortest window first."""
    return tuple([replace(charge, tokens=tokens) for charge in charges_of(rate, OVERRIDE, Burst(burst))])


def is_override(bucket: str) -> bool:
    """Whether a bucket of this name is one of an override's."""
    return bucket == OVERRIDE or bucket.startswith(f"{OVERRIDE}/")


@dataclass(frozen=True, slots=True)
class _TimedLimit:
    """A limit that holds until a moment of the store's clock."""

    subject: Subject
    rate: Rate
    burst: int
    until: float
    actor: str


class MemoryLimits:
    """LimitStore in the memory of a process: ``max_subjects`` overrides at most. ``clock`` counts seconds. ``refill``
    fills the buckets of a subject's override at a rate, so that a new override begins with full buckets."""

    def __init__(
        self, clock: Callable[[], float], *, max_subjects: int, refill: Callable[[Subject, Rate], object]
    ) -> None:
        self._clock = clock
        self._refill = refill
        self._limits: Lru[tuple[str, str], _TimedLimit] = Lru(max_subjects)
        self.held: Callable[[], int] = self._limits.count
        """How many subjects have an override that is kept here, in force or expired."""

    def charges(self, subject: Subject, charges: Sequence[Charge], now: float) -> tuple[Sequence[Charge], float | None]:
        """The charges under the subject's override, and the seconds that this is still in force; the given charges and
        None without an override."""
        held = self._limits.get(subject.key) if charges else None
        if held is None or held.until <= now or all(charge.fixed for charge in charges):
            return charges, None
        return effective_charges(charges, held.rate, held.burst), held.until - now

    def learn(self, subject: Subject, rate: Rate, burst: int, seconds: float) -> None:
        """Remember an override of another store. Its buckets stay as they are: nothing is refilled."""
        self._limits.put(subject.key, _TimedLimit(subject, rate, burst, self._clock() + seconds, ""))

    def forget(self, subject: Subject) -> None:
        """Drop the override of a subject that :meth:`learn` has noted."""
        self._limits.pop(subject.key)

    async def set(self, subject: Subject, rate: Rate, burst: int, seconds: float, *, actor: str = "") -> None:
        """LimitStore.set."""
        self._limits.put(subject.key, _TimedLimit(subject, rate, burst, self._clock() + seconds, actor))
        self._refill(subject, rate)

    async def clear(self, subject: Subject) -> bool:
        """LimitStore.clear."""
        held = self._limits.pop(subject.key)
        return held is not None and held.until > self._clock()

    async def all(self) -> Sequence[HeldLimit]:
        """LimitStore.all."""
        now = self._clock()
        return [_held_limit(held, now) for held in self._limits.values() if held.until > now]

    async def page(self, limit: int, cursor: str = "") -> Page[HeldLimit]:
        """LimitStore.page."""
        found, now = Longest[HeldLimit](Cursor.read(cursor), limit), self._clock()
        found.add((moment_in(held.until), _held_limit(held, now)) for held in self._limits.values() if held.until > now)
        return found.page()

    async def of(self, subject: Subject) -> HeldLimit | None:
        """LimitStore.of."""
        now, held = self._clock(), self._limits.look(subject.key)
        return None if held is None or held.until <= now else _held_limit(held, now)

    async def count(self) -> int:
        """LimitStore.count."""
        now = self._clock()
        return sum(held.until > now for held in self._limits.values())


def _held_limit(held: _TimedLimit, now: float) -> HeldLimit:
    return HeldLimit(held.subject, held.rate, held.burst, held.until - now, held.actor)
