"""Bounds the WebSockets and the subscriptions, over sockets or streams, that are open in a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import (
    SOCKETS_FULL,
    SUBSCRIPTIONS_FULL,
    TOO_MANY_SOCKETS,
    TOO_MANY_SUBSCRIPTIONS,
    Code,
    Protection,
)
from fraiseql_guard.core.token_buckets import SHARED_PEER_FACTOR

Slots = tuple[tuple[str, str], ...]
"""Keys of the counts in which a socket or subscription has its place."""

_EVERYONE: Final = ("everyone", "")
_ANONYMOUS: Final = ("anonymous", "")
_UNINITIALIZED: Final = ("uninitialized", "")
_RETRY_SECONDS: Final = 1.0


class Stage(Enum):
    """How much is known of the caller of a WebSocket."""

    OPENED = "opened"  # before its connection_init
    ANONYMOUS = "anonymous"
    VERIFIED = "verified"


Shares = tuple[tuple[tuple[str, str], int], ...]
"""Keys of counts, each with the divisor of the process's bound that it may reach: 4 for a quarter, 2 for half."""

_SHARES: Final[Mapping[Stage, Shares]] = {
    Stage.OPENED: ((_UNINITIALIZED, 4), (_ANONYMOUS, 2)),
    Stage.ANONYMOUS: ((_ANONYMOUS, 2),),
    Stage.VERIFIED: (),
}


class SocketRoom:
    """Bounds the open WebSockets: of each caller, of callers without a verified user, and of all.

    ``open_sockets`` outlives a change of the settings.
    """

    protection: Final = Protection.RATE_LIMIT

    def __init__(self, settings: Settings, open_sockets: Counter[tuple[str, str]] | None = None) -> None:
        self._per_caller = settings.max_sockets_per_caller
        self._most = settings.max_sockets
        self._open: Counter[tuple[str, str]] = Counter() if open_sockets is None else open_sockets

    def take(self, ctx: RequestContext, stage: Stage) -> Denial | None:
        """Take a place for a socket of the context's subject, in exchange for the one that it has; a refusal takes and
        gives back nothing."""
        held = ctx.socket_slots
        _give_back(self._open, held)  # the socket must not count against itself
        denial = self._full(ctx, stage)
        shares = [name for name, _ in _SHARES[stage]]
        ctx.socket_slots = held if denial is not None else (ctx.subject.key, _EVERYONE, *shares)
        _take(self._open, ctx.socket_slots)
        return denial

    def _full(self, ctx: RequestContext, stage: Stage) -> Denial | None:
        shared = ctx.shared_peer and stage is not Stage.VERIFIED
        own = self._per_caller * (SHARED_PEER_FACTOR if shared else 1)
        if (mine := self._open[ctx.subject.key]) >= own:
            return _over(TOO_MANY_SOCKETS, own, mine)
        return _over_share(SOCKETS_FULL, self._open, self._most, _SHARES[stage])

    def release(self, ctx: RequestContext) -> None:
        """Give back the socket's place; a second call gives back nothing."""
        _give_back(self._open, ctx.socket_slots)
        ctx.socket_slots = ()

    @property
    def limit(self) -> int:
        """Most open sockets of the process."""
        return self._most


class SubscriptionRoom:
    """Bounds the open subscriptions: of each caller, of anonymous callers together, and of all.

    ``open_subscriptions`` outlives a change of the settings.
    """

    protection: Final = Protection.RATE_LIMIT

    def __init__(self, settings: Settings, open_subscriptions: Counter[tuple[str, str]] | None = None) -> None:
        self._per_caller = settings.max_subscriptions_per_caller
        self._most = settings.max_subscriptions
        self._open: Counter[tuple[str, str]] = Counter() if open_subscriptions is None else open_subscriptions

    def decide(self, ctx: RequestContext) -> Denial | None:
        """Take a place for the request if all its operations are subscriptions."""
        measured = ctx.measured
        if measured is None or measured.kind != "subscription" or not measured.subscribes or ctx.subscription_slots:
            return None
        shares = () if ctx.identity is not None else _SHARES[Stage.ANONYMOUS]
        denial = self._full(ctx, shares)
        if denial is None:
            ctx.subscription_slots = (ctx.subject.key, _EVERYONE, *(name for name, _ in shares))
            _take(self._open, ctx.subscription_slots)
        return denial

    def _full(self, ctx: RequestContext, shares: Shares) -> Denial | None:
        own = self._per_caller * (SHARED_PEER_FACTOR if ctx.shared_peer and shares else 1)
        if (mine := self._open[ctx.subject.key]) >= own:
            return _over(TOO_MANY_SUBSCRIPTIONS, own, mine)
        return _over_share(SUBSCRIPTIONS_FULL, self._open, self._most, shares)

    def release(self, ctx: RequestContext) -> None:
        """Give back the places of the request's subscriptions; a second call gives back nothing."""
        _give_back(self._open, ctx.subscription_slots)
        ctx.subscription_slots = ()

    @property
    def open_subscriptions(self) -> int:
        """Subscriptions open in this process."""
        return self._open[_EVERYONE]


def _take(counts: Counter[tuple[str, str]], names: Iterable[tuple[str, str]]) -> None:
    for name in names:
        counts[name] += 1


def _give_back(counts: Counter[tuple[str, str]], names: Iterable[tuple[str, str]]) -> None:
    for name in names:
        counts[name] -= 1
        if counts[name] <= 0:
            del counts[name]  # keep no entry of callers who have nothing open


def _over_share(code: Code, counts: Counter[tuple[str, str]], most: int, shares: Shares) -> Denial | None:
    """The refusal where the process's bound, or the share of one of the counts, is reached."""
    for name, part in ((_EVERYONE, 1), *shares):
        bound = max(1, most // part)
        if (found := counts[name]) >= bound:
            return _over(code, bound, found, tokens=0)
    return None


def _over(code: Code, limit: int, found: int, *, tokens: int = 1) -> Denial:
    return Denial(code, limit=limit, actual=found + 1, retry_after_seconds=_RETRY_SECONDS, tokens=tokens)
