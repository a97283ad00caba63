"""Bounds the memory that request bodies take: all of a process together, and those of one caller."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import BODY_BUFFER_FULL, BODY_SHARE_FULL, UNKNOWN

_CALLERS: Final = 8
"""One caller may hold the budget of all bodies divided by this number."""
_RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class BufferBudget:
    """Memory that the buffered bodies of this process may take together, in bytes, and how much each caller holds."""

    limit: int
    used: int = 0
    by_caller: dict[Hashable, int] = field(default_factory=dict)
    """Bytes held by each caller who holds any and has a share."""


def share_bytes(settings: Settings) -> int:
    """Bytes that one caller may hold: never less than one body may take."""
    largest = settings.max_request_bytes if settings.multipart else settings.max_body_bytes
    return max(settings.max_buffered_bytes // _CALLERS, largest)


def holder_of(ctx: RequestContext) -> Hashable:
    """The caller that a request's body is charged to: a verified user, else an address, of IPv6 its prefix. None for
    callers who cannot be told apart or are not counted; they have no share of their own."""
    if ctx.allow_listed or (ctx.identity is None and (ctx.shared_peer or ctx.address == UNKNOWN)):
        return None
    return ctx.subject.key


class HeldBody:
    """The part of the budget that one body holds."""

    __slots__ = ("_budget", "_bytes", "_caller", "_share_bytes")

    def __init__(self, budget: BufferBudget) -> None:
        self._budget = budget
        self._bytes = self._share_bytes = 0
        self._caller: Hashable = None

    def charge_to(self, caller: Hashable, share: int) -> None:
        """Set the body's caller (:func:`holder_of`) and the caller's share in bytes, before any of the body is held."""
        self._caller, self._share_bytes = caller, share

    def add(self, size: int) -> Denial | None:
        """Hold ``size`` bytes more; the refusal if there is no room: for the caller's share first, then for the
        budget."""
        budget, caller = self._budget, self._caller
        self._bytes += size
        budget.used += size
        if caller is not None:
            held = budget.by_caller[caller] = budget.by_caller.get(caller, 0) + size
            if held > (share := self._share_bytes):
                return Denial(BODY_SHARE_FULL, limit=share, actual=held, retry_after_seconds=_RETRY_SECONDS)
        if budget.used > budget.limit:
            return Denial(BODY_BUFFER_FULL, limit=budget.limit, retry_after_seconds=_RETRY_SECONDS, tokens=0)
        return None

    def release(self) -> None:
        """Give everything back; a second call gives back nothing."""
        size, self._bytes = self._bytes, 0
        if not size:
            return
        budget, caller = self._budget, self._caller
        budget.used -= size
        if caller is None:
            return
        left = budget.by_caller[caller] - size
        if left > 0:
            budget.by_caller[caller] = left
        else:
            del budget.by_caller[caller]
