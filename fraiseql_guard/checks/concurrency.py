"""Bounds the operations that are at work at once, so that one caller's slow queries do not starve the others."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import CONCURRENCY_LIMIT, OVERLOADED, Code, Protection
from fraiseql_guard.core.token_buckets import SHARED_PEER_FACTOR

_KEPT_FREE: Final = 2
"""Database connections that operations never take: they stay free for health checks and the app's own work."""
_EXPRESS: Final = 2
"""The number of express slots: the last ones below _KEPT_FREE. An operation in one has one second, so that quick
queries are answered while slow ones fill the pool."""
_EXPRESS_FROM: Final = 8  # a smaller pool has nothing to set apart
_EXPRESS_SECONDS: Final = 1.0
BEGINNING_SECONDS: Final = 0.25
"""How long a subscription counts among the operations at work, unless its first event comes sooner: it asks the
database at its beginning."""
_EVERYONE: Final = ("everyone", "")
_ANONYMOUS: Final = ("anonymous", "")
_BEGINNING: Final = ("beginning", "")
"""The count of subscriptions that begin: until their first event they are among the operations at work."""


def _unknown() -> int | None:
    return None


class PoolRefusals:
    """Counts the operations of the last minute that were refused for want of database connections."""

    __slots__ = ("_clock", "_seconds")

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[int]] = deque()  # pairs of a second and its number of refusals

    def note(self) -> None:
        """Count one refused operation."""
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
            return
        self._forget(second)
        self._seconds.append([second, 1])

    def last_minute(self) -> int:
        """The operations refused in the last minute."""
        self._forget(int(self._clock()))
        return sum(count for _, count in self._seconds)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - 60:
            self._seconds.popleft()


class Concurrency:
    """Bounds the operations at work in this process: of each subject, of anonymous callers together, of subscriptions
    that begin, and of all.

    All bounds but that of a subject follow the size of the database pool: from the settings, else from ``pool_size``,
    which returns None while the pool is not open, and may change. :meth:`release` gives the slots back, whatever became
    of the request. ``at_work`` and ``refusals`` outlive a change of the settings.

    With ``express`` the last two slots are open only to queries of callers who have nothing else at work, for a second
    each.
    """

    protection: Final = Protection.RATE_LIMIT

    def __init__(
        self,
        settings: Settings,
        at_work: Counter[tuple[str, str]] | None = None,
        *,
        refusals: PoolRefusals | None = None,
        pool_size: Callable[[], int | None] = _unknown,
        express: bool = False,
    ) -> None:
        self._per_subject = settings.max_in_flight
        self._configured = settings.database_pool_size
        self._pool_size = pool_size
        self._express = express
        self._at_work: Counter[tuple[str, str]] = Counter() if at_work is None else at_work
        self._refusals = PoolRefusals() if refusals is None else refusals

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Take the request's slots, all or none."""
        denial = self._full(ctx)
        if denial is not None:
            if not begins_subscription(ctx):  # else it may wait
                self.note(denial)
            return denial
        # There is room: take one slot in each count.
        own, at_work = ctx.subject.key, self._at_work
        ctx.concurrency_slots = (own, _EVERYONE, _ANONYMOUS) if ctx.identity is None else (own, _EVERYONE)
        if begins_subscription(ctx):
            ctx.concurrency_slots += (_BEGINNING, _own_beginning(ctx))
        for key in ctx.concurrency_slots:
            at_work[key] = at_work.get(key, 0) + 1
        ctx.in_flight = at_work[own]
        return None

    def note(self, denial: Denial) -> None:
        """Count a refusal for want of database connections, once it is certain that the operation does not wait."""
        if denial.code is OVERLOADED:
            self._refusals.note()

    def has_room(self, ctx: RequestContext) -> bool:
        """Whether the request's slots could be taken now."""
        return self._full(ctx) is None

    def has_room_soon(self, ctx: RequestContext) -> bool:
        """Whether subscriptions that begin hold some of the slots, which they give back within a moment."""
        denial = self._full(ctx)
        if denial is None:
            return True
        return self._at_work.get(_own_beginning(ctx) if denial.code is CONCURRENCY_LIMIT else _BEGINNING, 0) > 0

    def _full(self, ctx: RequestContext) -> Denial | None:
        anonymous = ctx.identity is None
        return self._over_own_share(ctx, anonymous=anonymous) or self._over_pool(ctx, anonymous=anonymous)

    def _over_own_share(self, ctx: RequestContext, *, anonymous: bool) -> Denial | None:
        most = self._per_subject * (SHARED_PEER_FACTOR if ctx.shared_peer and anonymous else 1)
        mine = self._at_work.get(ctx.subject.key, 0)
        return _full(CONCURRENCY_LIMIT, most, mine) if mine >= most else None

    def _over_pool(self, ctx: RequestContext, *, anonymous: bool) -> Denial | None:
        """The refusal if the database pool has no connection left for this operation; None while its size is
        unknown."""
        pool = self._configured or self._pool_size()
        if not pool:
            return None
        everyone = self._at_work.get(_EVERYONE, 0)
        if everyone >= (most := max(1, pool - _KEPT_FREE)):
            return _full(OVERLOADED, most, everyone)
        if anonymous and (strangers := self._at_work.get(_ANONYMOUS, 0)) >= (half := max(1, pool // 2)):
            return _full(OVERLOADED, half, strangers)
        # After a deployment clients begin hundreds of subscriptions at once: half of the pool stays for other
        # operations.
        beginning = self._at_work.get(_BEGINNING, 0)
        if beginning and beginning >= (half := max(1, pool // 2)) and begins_subscription(ctx):
            return _full(OVERLOADED, half, beginning)
        # Are only express slots left?
        only_express_left = self._express and pool >= _EXPRESS_FROM and everyone >= pool - _KEPT_FREE - _EXPRESS
        if not only_express_left:
            return None
        if not self._may_take_express(ctx):
            return _full(OVERLOADED, pool - _KEPT_FREE, everyone)
        ctx.express_seconds = _EXPRESS_SECONDS
        return None

    def _may_take_express(self, ctx: RequestContext) -> bool:
        """Whether a request may take an express slot: a query, whose caller has nothing else at work."""
        measured = ctx.measured
        if measured is None or not measured.complete or measured.kind != "query":
            return False
        return not self._at_work.get(ctx.subject.key, 0)

    def release(self, ctx: RequestContext) -> None:
        """Give back what the request took; a second call gives back nothing."""
        for key in ctx.concurrency_slots:
            left = self._at_work[key] - 1
            if left > 0:
                self._at_work[key] = left
            else:
                self._at_work.pop(key, None)  # keep no entry of a subject without work
        ctx.concurrency_slots = ()

    @property
    def at_work(self) -> int:
        """Operations at work in this process."""
        return self._at_work.get(_EVERYONE, 0)


def _own_beginning(ctx: RequestContext) -> tuple[str, str]:
    """Key of the count of one caller's subscriptions that begin."""
    kind, name = ctx.subject.key
    return f"beginning {kind}", name


def begins_subscription(ctx: RequestContext) -> bool:
    """Whether the request asks for subscriptions and nothing else."""
    measured = ctx.measured
    return measured is not None and measured.kind == "subscription" and measured.subscribes


def _full(code: Code, limit: int, at_work: int) -> Denial:
    tokens = 0 if code is OVERLOADED else 1  # a caller does not pay for the others' operations
    return Denial(code, limit=limit, actual=at_work + 1, retry_after_seconds=1.0, tokens=tokens)
