"""Bounds what stays open in a process: WebSockets, and subscriptions over whatever carries them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
"""The counts in which something that is open has its place."""

_EVERYONE: Final = ("everyone", "")
_ANONYMOUS: Final = ("anonymous", "")
_UNINITIALIZED: Final = ("uninitialized", "")
_RETRY_SECONDS: Final = 1.0


class Stage(Enum):
    """How much is known of the caller of a WebSocket."""

    OPENED = "opened"  # before its connection_init
    ANONYMOUS = "anonymous"
    VERIFIED = "verified"


_SHARES: Final = {
    Stage.OPENED: ((_UNINITIALIZED, 4), (_ANONYMOUS, 2)),
    Stage.ANONYMOUS: ((_ANONYMOUS, 2),),
    Stage.VERIFIED: (),
}
"""Counts besides that of all sockets, and the part of its bound that each may reach: a fourth, half."""


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
        _give_back(self._open, held)  # so that it is not counted against itself
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
        for name, part in ((_EVERYONE, 1), *_SHARES[stage]):
            most = max(1, self._most // part)
            if (found := self._open[name]) >= most:
                return _over(SOCKETS_FULL, most, found, tokens=0)
        return None

    def release(self, ctx: RequestContext) -> None:
        """Give back a socket's place; a second call gives back nothing."""
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
        anonymous = ctx.identity is None
        own = self._per_caller * (SHARED_PEER_FACTOR if ctx.shared_peer and anonymous else 1)
        if (mine := self._open[ctx.subject.key]) >= own:
            return _over(TOO_MANY_SUBSCRIPTIONS, own, mine)
        if (found := self._open[_EVERYONE]) >= self._most:
            return _over(SUBSCRIPTIONS_FULL, self._most, found, tokens=0)
        half = max(1, self._most // 2)
        if anonymous and (strangers := self._open[_ANONYMOUS]) >= half:
            return _over(SUBSCRIPTIONS_FULL, half, strangers, tokens=0)
        own_key = ctx.subject.key
        ctx.subscription_slots = (own_key, _EVERYONE, _ANONYMOUS) if anonymous else (own_key, _EVERYONE)
        _take(self._open, ctx.subscription_slots)
        return None

    def release(self, ctx: RequestContext) -> None:
        """Give back what the request took; a second call gives back nothing."""
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
            del counts[name]  # the memory holds only those who have something open


def _over(code: Code, limit: int, found: int, *, tokens: int = 1) -> Denial:
    return Denial(code, limit=limit, actual=found + 1, retry_after_seconds=_RETRY_SECONDS, tokens=tokens)
