"""A store that always answers: a breaker in front of Redis, and a failure policy for each of its methods."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

from fraiseql_guard.core.sanction import Sanction
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.token_buckets import Bucket
from fraiseql_guard.stores.breaker import PROBE_SECONDS, Breaker
from fraiseql_guard.stores.local_share import LocalShare
from fraiseql_guard.stores.protocol import Adjustment, AdmitRequest, AdmitResult, Observer, Store, StoreError
from fraiseql_guard.stores.unreadable import UnreadableEntries

S = TypeVar("S")


class OnFailure(Enum):
    """The failure policies of sub-stores' methods, for when the store does not answer."""

    RAISE = auto()
    """Raise StoreError, which means that nothing was applied; at once while the breaker is open."""
    RAISE_BETWEEN_BATCHES = auto()
    """As RAISE, before each batch of an asynchronous iterator."""
    GO_ON = auto()
    """Apply the change in this worker alone, and report the failure; the store's entry expires by itself."""
    NEVER_ASKS = auto()
    """Answer from this worker's memory, without asking the store."""


@dataclass(frozen=True, slots=True)
class Row:
    """The failure policy of one method, and the worker's own part in it.

    ``local`` is called with the store's answer and the method's arguments after the store has applied it; NEVER_ASKS
    calls it with the arguments alone, and gives its answer.
    """

    on_failure: OnFailure
    local: Callable[..., Any] | None = None


_RAISE: Final = Row(OnFailure.RAISE)

FAILOVER: Final[Mapping[str, Mapping[str, Row]]] = {
    "sanctions": {
        # A request asks this before its body is read: it must not wait for a store.
        "known": Row(OnFailure.NEVER_ASKS, LocalShare.known_sanction),
        # An operator's changes are made by the store or not at all; this worker remembers them for an outage.
        "impose": Row(OnFailure.RAISE, LocalShare.imposed),
        "lift": Row(OnFailure.RAISE, LocalShare.lifted),
        "lift_many": Row(OnFailure.RAISE, LocalShare.lifted_many),
        # A successful login does not fail because the store does.
        "pardon": Row(OnFailure.GO_ON, LocalShare.lifted),
        "all": _RAISE,
        "page": _RAISE,
        "of": _RAISE,
        "count": _RAISE,
        "batches": Row(OnFailure.RAISE_BETWEEN_BATCHES),
    },
    "limits": {
        "set": Row(OnFailure.RAISE, LocalShare.limit_set),
        "clear": Row(OnFailure.RAISE, LocalShare.limit_cleared),
        **dict.fromkeys(("all", "page", "of", "count"), _RAISE),
    },
    "overrides": dict.fromkeys(("read", "look", "put", "delete"), _RAISE),
    "documents": dict.fromkeys(("index", "texts", "add", "remove"), _RAISE),
    "fleet": {
        # The answer counts the living workers, which share the limits in an outage.
        "beat": Row(OnFailure.RAISE, LocalShare.beat_heard),
        **dict.fromkeys(("beats", "remember", "recent", "record_action", "actions"), _RAISE),
    },
    "refused_documents": {"note": _RAISE},
    "lift_jobs": dict.fromkeys(("begin", "advance", "finish", "read"), _RAISE),
}
"""The failure policy of every method of every sub-store. The policy of ``admit`` is a setting
(:class:`FailoverStore`)."""


class FailoverStore:
    """Asks ``primary``; an admission that it does not answer in time is decided by ``settings.on_store_failure``.

    ``local``: this process's own buckets at a worker's share of each limit, and the sanctions that it has seen
    (:class:`LocalShare`, where ``workers`` is explained); ``open``: everything is admitted; ``closed``: nothing is
    (AdmitResult.unavailable). A call that failed is not repeated. The table FAILOVER has the policies of the
    sub-stores' methods. ``clock`` counts seconds.
    """

    def __init__(
        self,
        primary: Store,
        *,
        settings: Settings,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        workers: int | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._primary = primary
        self._policy = settings.on_store_failure
        self._observer = observer
        # Entries that the store leaves out are counted as its failures are.
        primary.unreadable.on_found = observer.store_unreadable
        self._breaker = Breaker(primary.ping, observer, clock=clock, probe_seconds=probe_seconds)
        self._share = LocalShare(settings, clock=clock, workers=workers)
        self.sanctions = self._with_failover("sanctions", primary.sanctions)
        self.limits = self._with_failover("limits", primary.limits)
        self.overrides = self._with_failover("overrides", primary.overrides)
        self.documents = self._with_failover("documents", primary.documents)
        self.fleet = self._with_failover("fleet", primary.fleet)
        self.refused_documents = self._with_failover("refused_documents", primary.refused_documents)
        self.lift_jobs = self._with_failover("lift_jobs", primary.lift_jobs)

    @property
    def breaker_open(self) -> bool:
        """Store.breaker_open."""
        return self._breaker.open_since is not None

    @property
    def unreadable(self) -> UnreadableEntries:
        """Store.unreadable."""
        return self._primary.unreadable

    async def admit(self, request: AdmitRequest) -> AdmitResult:
        """Settle a request's whole bill (Store.admit). Never raises StoreError."""
        # As Breaker.ask does, without a further coroutine for each request.
        breaker = self._breaker
        if breaker.open_since is not None:
            breaker.probe_soon()
            return await self._decide_alone(request)
        try:
            result = await self._primary.admit(request)
        except StoreError as error:
            breaker.failed(error)
            return await self._decide_alone(request)
        # The store has answered, so that failures in a row begin anew.
        breaker.failures = 0
        self._share.learn(request, result)
        return result

    async def adjust(self, adjustment: Adjustment) -> tuple[Bucket, ...]:
        """Change buckets where their request has paid: in the store, or in this process. Never raises StoreError.

        If the store does not answer, its buckets stay as they are, and () is returned; only a look (charges of 0
        tokens) falls back on this process's buckets, under the policy ``local``.
        """
        if adjustment.alone:
            return await self._share.adjust(adjustment)
        try:
            return await self._breaker.ask(lambda: self._primary.adjust(adjustment))
        except StoreError:
            looks = not any(charge.tokens for charge in adjustment.charges)
            return await self._share.adjust(adjustment) if looks and self._policy == "local" else ()

    async def known_sanctions(self) -> Sequence[Sanction]:
        """Sanctions that this process has met or imposed, without asking the store; () while the breaker is open under
        the policy ``open``."""
        return () if self._policy == "open" and self.breaker_open else await self._share.known_sanctions()

    async def ping(self) -> None:
        """Ask the store itself, even while the breaker is open; StoreError if it does not answer."""
        await self._primary.ping()

    async def check(self) -> list[str]:
        """Ask the store itself, even while the breaker is open (Store.check)."""
        return await self._primary.check()

    async def reset(self) -> None:
        """Forget what callers have done, in the store and in this process (Store.reset). StoreError if the store does
        not answer."""
        await self._primary.reset()
        await self._share.reset()

    async def aclose(self) -> None:
        """Stop probing and give back connections."""
        await self._breaker.aclose()
        await self._primary.aclose()

    async def _decide_alone(self, request: AdmitRequest) -> AdmitResult:
        self._observer.store_fallback(self._policy)
        if self._policy == "open":
            return AdmitResult(admitted=True)
        if self._policy == "closed":
            return AdmitResult(admitted=False, unavailable=True)
        return await self._share.admit(request)

    def _with_failover(self, name: str, sub_store: S) -> S:
        """The sub-store of this name, each of its methods behind the breaker with the failure policy of its row."""
        # Bound once: a call looks up neither its row nor its method.
        methods = {
            method: _carried(row, getattr(sub_store, method), self._breaker, self._share)
            for method, row in FAILOVER[name].items()
        }
        return cast("S", SimpleNamespace(**methods))


def _carried(row: Row, method: Callable[..., Any], breaker: Breaker, share: LocalShare) -> Callable[..., Any]:
    """A method of a sub-store behind the breaker, with the failure policy of its row."""
    if row.on_failure is OnFailure.NEVER_ASKS and row.local is not None:
        return partial(row.local, share)
    if row.on_failure is OnFailure.RAISE_BETWEEN_BATCHES:
        return _by_batches(method, breaker)
    return _asked(row, method, breaker, share)


def _asked(
    row: Row, method: Callable[..., Awaitable[Any]], breaker: Breaker, share: LocalShare
) -> Callable[..., Awaitable[Any]]:
    local = row.local
    passed_over: tuple[type[Exception], ...] = (StoreError,) if row.on_failure is OnFailure.GO_ON else ()

    @wraps(method)
    async def ask(*arguments: Any, **options: Any) -> Any:
        answer = None
        # suppress() without a class suppresses nothing.
        with suppress(*passed_over):
            answer = await breaker.ask(lambda: method(*arguments, **options))
        if local is not None:
            await local(share, answer, *arguments, **options)
        return answer

    return ask


def _by_batches(method: Callable[..., AsyncIterator[Any]], breaker: Breaker) -> Callable[..., AsyncIterator[Any]]:
    @wraps(method)
    async def ask(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        # Each step of the iterator is an exchange of its own, and passes the breaker.
        batches = aiter(method(*arguments, **options))
        while True:
            try:
                yield await breaker.ask(lambda: anext(batches))
            except StopAsyncIteration:
                return

    return ask
