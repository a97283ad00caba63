"""How much memory request bodies may take: all of a process together, and those of one caller."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import BODY_BUFFER_FULL, BODY_SHARE_FULL, UNKNOWN

_CALLERS: Final = 8
"""One caller is given the room of all bodies divided by this."""
_RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class BufferBudget:
    """Memory that the buffered bodies of this process may take together, in bytes, and who takes how much of it."""

    limit: int
    used: int = 0
    by_caller: dict[Hashable, int] = field(default_factory=dict)
    """Of those callers alone who hold some, and have a share."""


def share_bytes(settings: Settings) -> int:
    """How much one caller may hold: never less than one body may take."""
    largest = settings.max_request_bytes if settings.multipart else settings.max_body_bytes
    return max(settings.max_buffered_bytes // _CALLERS, largest)


def holder_of(ctx: RequestContext) -> Hashable:
    """Who holds a request's body: a verified user, else an address, of IPv6 its prefix. None for those who cannot be
    told apart, or are not counted: they share all that there is."""
    if ctx.allow_listed or (ctx.identity is None and (ctx.shared_peer or ctx.address == UNKNOWN)):
        return None
    return ctx.subject.key


class HeldBody:
    """What one body holds of the budget."""

    __slots__ = ("_budget", "_bytes", "_caller", "_share_bytes")

    def __init__(self, budget: BufferBudget) -> None:
        self._budget = budget
        self._bytes = self._share_bytes = 0
        self._caller: Hashable = None

    def charge_to(self, caller: Hashable, share: int) -> None:
        """Say whose the body is (:func:`holder_of`), and how many bytes they may hold: before any of it is held."""
        self._caller, self._share_bytes = caller, share

    def add(self, size: int) -> Denial | None:
        """Hold so many bytes more. The refusal if there is not as much room: the caller's own share is told first, in
        which others have no part."""
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
